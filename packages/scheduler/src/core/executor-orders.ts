import type { JobId, PeerId, ProcessorId } from '../model/ids.ts'
import type { AttemptRef, MessageOf, RunningAttempt } from '../model/message.ts'
import type { StepContext } from './context.ts'
import { tellResult } from './executor.ts'
import type { ExecutorJob, HeldAttempt } from './executor-state.ts'
import { chunksOf, tellHolds } from './holder.ts'
import { isCurrentOwner } from './obey.ts'
import type { SchedulerState } from './state.ts'

/*
 * What owners ask of an executing peer after the assignment: to give attempts back, to stop them, to say
 * what it holds, and to forget results.
 */

export function onRevoke(ctx: StepContext, from: PeerId, message: MessageOf<'revoke'>): void {
  if (!isCurrentOwner(ctx, from, message.job, message.epoch)) return
  const job = ctx.state.executor.jobs.get(message.job) as ExecutorJob
  const given: AttemptRef[] = []
  for (const { no, attempt } of message.attempts) {
    const held = job.held.get(attempt)
    if (held?.phase !== 'queued' && held?.phase !== 'gathering') continue
    dropQueued(ctx, job, held)
    given.push({ no, attempt })
  }
  ctx.send(from, { type: 'revoked', job: message.job, epoch: message.epoch, attempts: given })
}

export function onAbort(ctx: StepContext, from: PeerId, message: MessageOf<'abort'>): void {
  if (!isCurrentOwner(ctx, from, message.job, message.epoch)) return
  stopAttempts(ctx, ctx.state.executor.jobs.get(message.job) as ExecutorJob, message.attempts)
}

function stopAttempts(ctx: StepContext, job: ExecutorJob, attempts: readonly AttemptRef[]): void {
  const running = new Map<ProcessorId, number[]>()
  for (const { attempt } of attempts) {
    const held = job.held.get(attempt)
    if (held === undefined) continue
    if (held.phase === 'running') {
      const calls = running.get(held.processor) ?? []
      calls.push(held.call.callId)
      running.set(held.processor, calls)
    }
    if (held.phase === 'queued' || held.phase === 'gathering') dropQueued(ctx, job, held)
    else job.held.delete(attempt)
  }
  for (const [processor, calls] of running) ctx.emit({ type: 'abort-calls', processor, calls })
}

function dropQueued(ctx: StepContext, job: ExecutorJob, held: HeldAttempt): void {
  const { callId } = held.call
  if (held.phase === 'gathering') ctx.state.executor.calls.delete(callId)
  if (chunksOf(held.call).length > 0) ctx.emit({ type: 'stop-gather', callId })
  held.phase = 'ended'
  job.held.delete(held.call.attempt)
}

/** The owner has this result: it is not kept any longer. */
export function forgetResult(state: SchedulerState, id: JobId, attempt: number): void {
  const job = state.executor.jobs.get(id)
  if (job?.held.get(attempt)?.phase === 'ended') job.held.delete(attempt)
}

export function onCommit(ctx: StepContext, message: MessageOf<'commit'>): void {
  for (const { attempt } of message.attempts) forgetResult(ctx.state, message.job, attempt)
}

/** A new owner asks what of its job is here: everything is told, queued attempts count as running. */
export function onAdopt(ctx: StepContext, from: PeerId, message: MessageOf<'adopt'>): void {
  if (!isCurrentOwner(ctx, from, message.job, message.epoch)) return
  const job = ctx.state.executor.jobs.get(message.job) as ExecutorJob
  tellHoldings(ctx, from, message.job, message.epoch, [...job.held.values()], [])
  tellHolds(ctx, from)
}

export function onAudit(ctx: StepContext, from: PeerId, message: MessageOf<'audit'>): void {
  if (!isCurrentOwner(ctx, from, message.job, message.epoch)) return
  const job = ctx.state.executor.jobs.get(message.job) as ExecutorJob
  const known: HeldAttempt[] = []
  const unknown: AttemptRef[] = []
  for (const { no, attempt } of message.attempts) {
    const held = job.held.get(attempt)
    if (held === undefined) unknown.push({ no, attempt })
    else known.push(held)
  }
  tellHoldings(ctx, from, message.job, message.epoch, known, unknown)
}

function tellHoldings(
  ctx: StepContext,
  to: PeerId,
  job: JobId,
  epoch: number,
  held: readonly HeldAttempt[],
  unknown: readonly AttemptRef[],
): void {
  const running = held
    .filter((entry) => entry.result === null)
    .map(({ call, processor }): RunningAttempt => {
      const running = { no: call.no, attempt: call.attempt, processor }
      return call.items === null ? running : { ...running, count: call.items.count }
    })
  const results = held.flatMap(({ result }) => (result === null ? [] : [result]))
  ctx.send(to, { type: 'holdings', job, epoch, running, results, unknown })
}

/** Nobody has asked after this job for long: its owner forgot it, or died alone. Its slots are for others. */
function giveUp(ctx: StepContext, id: JobId, job: ExecutorJob): void {
  const attempts = [...job.held].map(([attempt, held]) => ({ no: held.call.no, attempt }))
  stopAttempts(ctx, job, attempts)
  ctx.state.executor.submitting.delete(id)
}

/** Repeats results that nobody committed, and forgets those that nobody will ever ask for. */
export function auditExecutor(ctx: StepContext): boolean {
  const { executor, now, config, peers } = ctx.state
  let isBusy = false
  for (const [id, job] of executor.jobs) {
    const isOwnerHere = peers.has(job.owner)
    const isForgotten = job.owner !== ctx.state.self && now - job.heardAt >= config.orphanResultMs
    if (isForgotten) giveUp(ctx, id, job)
    for (const [attempt, held] of job.held) {
      if (held.result === null) continue
      const ageMs = now - held.endedAt
      // What this peer itself did not take was held back: nothing else would bring the next audit.
      const isDue = ageMs >= config.auditMs / 2 || job.owner === ctx.state.self
      if (isOwnerHere && isDue) tellResult(ctx, job.owner, id, job.epoch, held)
      else if (!isOwnerHere && ageMs >= config.orphanResultMs) job.held.delete(attempt)
    }
    if (job.held.size > 0) isBusy = true
    else if (isForgotten) executor.jobs.delete(id)
  }
  for (const [id, attempts] of executor.submitting) {
    const owner = executor.jobs.get(id)?.owner
    for (const [attempt, { no, requests }] of attempts) {
      if (owner !== undefined) ctx.send(owner, { type: 'submit', job: id, parent: { no, attempt }, requests })
    }
    if (attempts.size === 0) executor.submitting.delete(id)
    else isBusy = true
  }
  return isBusy
}
