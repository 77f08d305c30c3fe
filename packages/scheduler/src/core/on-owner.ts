import type { JobId, PeerId } from '../model/ids.ts'
import type { AttemptRef, AttemptResult, MessageOf, RunningAttempt } from '../model/message.ts'
import { endAttempt, type SingleResult } from './attempts.ts'
import type { StepContext } from './context.ts'
import { forgetResult } from './executor-orders.ts'
import { requeue, unresolved } from './jobs.ts'
import { endPiece } from './slice-ends.ts'
import { carve } from './slices.ts'
import { attemptedTask, isFinal, type JobState, type TaskState } from './state.ts'
import { forgive } from './suspects.ts'
import { isInDoubt } from './takeover.ts'
import { makeAssigned } from './transitions.ts'

/** Attempts ended on `from`. Everything is acknowledged: what no longer counts, too, so that it is forgotten. */
export function onResults(ctx: StepContext, from: PeerId, message: MessageOf<'results'>): void {
  const job = ctx.state.jobs.get(message.job)
  if (job === undefined || !job.isMine) {
    answerNonOwner(ctx, from, message.job, message.epoch, message.results)
    return
  }
  // Others may have claimed the job and run its tasks: what is written down now could not be taken back.
  // Results that nobody acknowledges are sent again, here or to the new owner.
  if (isInDoubt(ctx.state)) {
    ctx.state.hasHeldBack = true
    return
  }
  for (const result of message.results) {
    applyResult(ctx, job, from, result)
    acknowledge(ctx, from, job.id, job.claim.epoch, result)
  }
}

/** Says that a result was taken, so that it is forgotten where it is kept. */
function acknowledge(
  ctx: StepContext,
  to: PeerId,
  job: JobId,
  epoch: number,
  { no, attempt }: AttemptRef,
): void {
  if (to === ctx.state.self) forgetResult(ctx.state, job, attempt)
  else ctx.attempt('commit', to, job, epoch, { no, attempt })
}

/** Results of a job that is not ours: forgotten when the job is over, else kept for the real owner. */
function answerNonOwner(
  ctx: StepContext,
  from: PeerId,
  id: JobId,
  epoch: number,
  results: readonly AttemptResult[],
): void {
  const job = ctx.state.jobs.get(id)
  if (job !== undefined && !job.isEnded) {
    ctx.send(from, { type: 'stale', job: id, epoch: job.claim.epoch })
    return
  }
  if (job === undefined && !ctx.state.tombstones.has(id)) return
  for (const result of results) acknowledge(ctx, from, id, epoch, result)
}

function applyResult(ctx: StepContext, job: JobState, from: PeerId, result: AttemptResult): void {
  const { no, attempt, count = 1 } = result
  const task = attemptedTask(job, no, attempt)
  if (task === undefined) return
  const isSame = task.spec.no === no && task.count === count
  const isCurrent = task.status === 'assigned' && task.attempt === attempt && isSame
  if (!isCurrent && job.isAdopting && count > 1) {
    for (const piece of carve(job, no, count)) {
      if (piece.status === 'waiting') endPiece(ctx, piece, from, null, result)
    }
    return
  }
  if (isFinal(task.status)) {
    tellRefused(ctx, task, 'E_ALREADY_DONE', from)
    return
  }
  if (!isCurrent && result.outcome.status !== 'lost') forgive(task, result)
  // While a successor still asks around, a result that anybody holds is as good as the assigned one.
  const isAdoptable = job.isAdopting && task.status === 'waiting' && isSame
  // Attempts are numbered per epoch: one that is not the present one is of an older epoch or was taken back.
  if (!isCurrent && !isAdoptable) {
    tellRefused(ctx, task, 'E_EPOCH_STALE', from)
    return
  }
  const processor = task.processor
  if (isCurrent && processor !== null && processor.peer.id !== from) {
    tellRefused(ctx, task, 'E_NOT_ASSIGNED', from)
    return
  }
  if (count > 1) endPiece(ctx, task, from, processor, result)
  // Nobody gets a slice who was given one task.
  else endAttempt(ctx, task, from, processor, singleResult(result))
}

function singleResult({ attempt, outcome, ranMs }: AttemptResult): SingleResult {
  return { attempt, outcome: outcome.status === 'sliced' ? { status: 'refused' } : outcome, ranMs }
}

/** Ordinary when peers come and go, so it is no error: the task's story tells. */
function tellRefused(ctx: StepContext, task: TaskState, code: string, from: PeerId): void {
  ctx.state.story.add(ctx.state.now, task, `result refused (${code}) from`, from)
}

/** A processor gave back what it had not started. */
export function onRevoked(ctx: StepContext, from: PeerId, message: MessageOf<'revoked'>): void {
  const job = ctx.state.jobs.get(message.job)
  for (const processor of ctx.state.processors.values()) {
    if (processor.peer.id === from) processor.isRevoking = false
  }
  if (job?.isMine !== true) return
  for (const ref of message.attempts) {
    const task = currentTask(job, from, ref)
    if (task !== null) requeue(ctx, task, 'stolen')
  }
  // What was asked for and not given has started: `isRevoking` stays, so that nobody asks again.
  ctx.isDirty = true
}

/** The answer to `adopt` or `audit`: what `from` runs and holds of a job, and what it does not know. */
export function onHoldings(ctx: StepContext, from: PeerId, message: MessageOf<'holdings'>): void {
  const job = ctx.state.jobs.get(message.job)
  hearMute(ctx, from)
  if (job?.isMine !== true || message.epoch !== job.claim.epoch) return
  job.adoptPending.delete(from)
  for (const result of message.results) {
    applyResult(ctx, job, from, result)
    acknowledge(ctx, from, job.id, job.claim.epoch, result)
  }
  for (const ref of message.running) adoptRunning(ctx, job, from, ref)
  for (const ref of message.unknown) {
    const task = currentTask(job, from, ref)
    if (task !== null) requeue(ctx, task, 'unknown there')
  }
}

/** It answers late, but it does. */
function hearMute(ctx: StepContext, id: PeerId): void {
  const peer = ctx.state.peers.get(id)
  if (peer?.isMute !== true) return
  peer.isMute = false
  ctx.state.processorsVersion++
  ctx.isDirty = true
}

/** A slice that runs is taken over whole, or stopped: others may have ended or cancelled some of its items. */
function adoptRunning(ctx: StepContext, job: JobState, from: PeerId, ref: RunningAttempt): void {
  const { no, attempt, count = 1 } = ref
  const known = attemptedTask(job, no, attempt)
  if (known?.status === 'assigned' && known.attempt === attempt) return
  if (known !== undefined) forgive(known, ref)
  const task = job.isAdopting && count > 1 ? carve(job, no, count)[0] : known
  const processor = ctx.state.processors.get(ref.processor)
  const canAdopt =
    job.isAdopting && task?.status === 'waiting' && task.count === count && processor?.peer.id === from
  if (!canAdopt) {
    ctx.attempt('abort', from, job.id, job.claim.epoch, { no, attempt })
    return
  }
  makeAssigned(ctx, task, processor, attempt, ctx.state.config.unknownRunMs)
  if (task.spec.needs.length > 0) task.pendingNeeds = unresolved
}

function currentTask(job: JobState, from: PeerId, ref: AttemptRef): TaskState | null {
  const task = attemptedTask(job, ref.no, ref.attempt)
  if (task?.status !== 'assigned' || task.attempt !== ref.attempt) return null
  return task.processor?.peer.id === from ? task : null
}
