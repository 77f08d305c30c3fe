import { ChunkPayload } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type JobId, type PeerId, peerOfProcessor, taskIdOf } from '../model/ids.ts'
import type { AttemptRef, AttemptResult, MessageOf } from '../model/message.ts'
import type { Payload } from '../model/payload.ts'
import { noteCopies } from './chunks.ts'
import type { StepContext } from './context.ts'
import { forgetResult } from './executor.ts'
import { requeue, unresolved } from './jobs.ts'
import { dissolve, isolate, split } from './slices.ts'
import {
  attemptedTask,
  isFinal,
  type JobState,
  type ProcessorState,
  refOf,
  type SliceResult,
  type TaskState,
  taskAt,
} from './state.ts'
import { isInDoubt } from './takeover.ts'
import { makeAssigned, makeBackoff, makeEnded, makeWaiting } from './transitions.ts'

/** Failures that running the body again cannot mend. */
const finalCodes = new Set([
  'E_CODE',
  'E_CODE_HASH',
  'E_NO_FUNCTION',
  'E_NOT_SERIALIZABLE',
  'E_TOO_LARGE',
  'E_FORBIDDEN',
  'E_WGSL',
  'E_KERNEL_ARGUMENT',
  'E_GPU_TIMEOUT',
])

/** After this many refusals in a row a task pauses before it is tried again. */
const refusalsMax = 3
const refusalPauseMs = 100

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

/** A slice of a job owned here ended on a processor of this peer. */
export function onSliceResult(ctx: StepContext, id: JobId, result: SliceResult): void {
  const { self } = ctx.state
  const job = ctx.state.jobs.get(id)
  // The newer owner gets it, once it is heard of.
  if (job !== undefined && !job.isMine && !job.isEnded) return
  if (isInDoubt(ctx.state)) {
    ctx.state.hasHeldBack = true
    return
  }
  forgetResult(ctx.state, id, result.attempt)
  const task = job === undefined ? undefined : taskAt(job, result.no)
  if (task === undefined) return
  const { processor } = task
  if (task.count === 1 || task.status !== 'assigned' || task.attempt !== result.attempt || processor === null)
    tellRefused(ctx, task, 'E_EPOCH_STALE', self)
  else endSlice(ctx, task, processor, result)
}

/** What ran has ended, and what has not started goes back. An item that threw is a task of its own from here on. */
function endSlice(
  ctx: StepContext,
  task: TaskState,
  processor: ProcessorState,
  { attempt, outcome, ranMs }: SliceResult,
): void {
  const { values, failed } = outcome
  ctx.ran(task.spec.operation, processor.record, ranMs, values.count)
  processor.peer.tasksDone += values.count - failed.length
  const { id } = processor.record
  if (failed.length === 0 && values.count === task.count) {
    makeEnded(ctx, task, { status: 'done', value: values, processor: id })
    return
  }
  makeWaiting(ctx, task, 'cut')
  const ends = new Set(failed.flatMap(({ index }) => [index, index + 1]).concat(values.count, task.count))
  const cuts = [...ends].sort((left, right) => left - right)
  const pieces = split(
    task,
    cuts.map((end, at) => end - (cuts[at - 1] ?? 0)),
  )
  const errors = new Map(failed.map(({ index, error }) => [task.spec.no + index, error]))
  for (const piece of pieces) {
    const index = piece.spec.no - task.spec.no
    const error = errors.get(piece.spec.no)
    if (index >= values.count) requeue(ctx, piece, 'not started')
    else if (error === undefined) {
      const value = piece.count === 1 ? values.at(index) : values.slice(index, index + piece.count)
      makeEnded(ctx, piece, { status: 'done', value, processor: id })
    } else {
      makeAssigned(ctx, piece, processor, attempt, 0)
      endAttempt(ctx, piece, ctx.state.self, processor, {
        no: piece.spec.no,
        attempt,
        outcome: { status: 'failed', error },
        ranMs: 0,
      })
    }
  }
}

/** Cuts one task out of a slice of a job owned here; the others are placed again. */
export function takeOut(ctx: StepContext, slice: TaskState, no: number): TaskState {
  stopSlice(ctx, slice)
  const { item, others } = isolate(slice, no)
  for (const other of others.reverse()) requeue(ctx, other, 'cut')
  return item
}

/** Nobody has it any more: it stands still and can be cut. */
function stopSlice(ctx: StepContext, slice: TaskState): void {
  const { processor, attempt, job } = slice
  if (processor !== null)
    ctx.attempt('abort', processor.peer.id, job.id, job.claim.epoch, { no: slice.spec.no, attempt })
  makeWaiting(ctx, slice, 'cut')
}

/** Its items go on as tasks of their own: nobody knows which of them is to blame. */
function dissolveLost(ctx: StepContext, slice: TaskState, why: string): void {
  makeWaiting(ctx, slice, why)
  for (const task of dissolve(slice).reverse()) requeue(ctx, task, why)
}

function applyResult(ctx: StepContext, job: JobState, from: PeerId, result: AttemptResult): void {
  const task = attemptedTask(job, result.no, result.attempt)
  if (task === undefined) return
  if (isFinal(task.status)) {
    tellRefused(ctx, task, 'E_ALREADY_DONE', from)
    return
  }
  const isCurrent = task.status === 'assigned' && task.attempt === result.attempt
  if (isCurrent && task.count > 1 && result.outcome.status === 'failed') {
    failSlice(ctx, task, from, result)
    return
  }
  // While a successor still asks around, a result that anybody holds is as good as the assigned one.
  const isAdoptable = job.isAdopting && task.status === 'waiting'
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
  endAttempt(ctx, task, from, processor, result)
}

/** None of its items could run: each fails as it would alone. */
function failSlice(ctx: StepContext, slice: TaskState, from: PeerId, result: AttemptResult): void {
  const processor = slice.processor as ProcessorState
  makeWaiting(ctx, slice, 'cut')
  for (const task of dissolve(slice)) {
    makeAssigned(ctx, task, processor, result.attempt, 0)
    endAttempt(ctx, task, from, processor, { ...result, no: task.spec.no })
  }
}

/** Ordinary when peers come and go, so it is no error: the task's story tells. */
function tellRefused(ctx: StepContext, task: TaskState, code: string, from: PeerId): void {
  ctx.state.story.add(ctx.state.now, task, `result refused (${code}) from`, from)
}

function endAttempt(
  ctx: StepContext,
  task: TaskState,
  from: PeerId,
  processor: ProcessorState | null,
  { attempt, outcome, ranMs }: AttemptResult,
): void {
  if (outcome.status === 'done' || outcome.status === 'failed') {
    noteCopies(ctx, task, from)
    task.unfed = 0
  }
  switch (outcome.status) {
    case 'done':
      if (isForeignChunk(task, from, outcome.value)) {
        const text = `Cannot take a chunk from ${from} as the result of task "${taskIdOf(refOf(task))}" as it must be one of its own: current value is another peer's`
        failTask(ctx, task, errorRecord('E_CHUNK_REF', text), from)
        return
      }
      if (processor !== null) {
        ctx.ran(task.spec.operation, processor.record, ranMs, 1)
        processor.peer.tasksDone++
      }
      makeEnded(ctx, task, { status: 'done', value: outcome.value, processor: processor?.record.id ?? null })
      return
    case 'failed': {
      if (task.thrownAttempt === attempt) return
      task.thrownAttempt = attempt
      task.executions++
      const { retryMax, retryBackoffMs } = task.spec.options
      if (task.executions <= retryMax && !finalCodes.has(outcome.error.code ?? '')) {
        cancelChildren(ctx, task)
        makeRetry(ctx, task, retryBackoffMs, outcome.error.message)
        return
      }
      failTask(ctx, task, outcome.error, from)
      return
    }
    case 'lost':
      loseAttempt(ctx, task, processor)
      return
    case 'cancelled':
    case 'refused':
      refuseAttempt(ctx, task)
      return
    case 'unfed':
      starveAttempt(ctx, task, outcome.error, from)
      return
  }
}

function failTask(ctx: StepContext, task: TaskState, error: ErrorRecord, from: PeerId): void {
  makeEnded(ctx, task, {
    status: 'failed',
    error,
    origin: refOf(task),
    attempts: task.executions,
    peer: from,
  })
}

/** A peer names chunks for its own values only, and for the lost one that it was asked to make again. */
function isForeignChunk(task: TaskState, from: PeerId, value: Payload): boolean {
  if (!(value instanceof ChunkPayload)) return false
  return value.ref.home !== from && value.ref.id !== task.remakes
}

/** A chunk could not be had: its holder is most likely gone and not known to be, so it is tried for a while. */
function starveAttempt(ctx: StepContext, task: TaskState, error: ErrorRecord, from: PeerId): void {
  ctx.state.story.add(ctx.state.now, task, `could not have a chunk on peer ${from}:`, error.message)
  task.unfed++
  const { unfedMax, unfedPauseMs } = ctx.state.config
  if (error.code !== 'E_CHUNK_LOST' || task.unfed >= unfedMax) failTask(ctx, task, error, from)
  else if (task.status === 'assigned') makeBackoff(ctx, task, ctx.state.now + unfedPauseMs)
}

function makeRetry(ctx: StepContext, task: TaskState, backoffMs: number, why: string): void {
  ctx.state.story.add(ctx.state.now, task, 'threw', why)
  if (task.status === 'waiting') return
  if (backoffMs > 0) makeBackoff(ctx, task, ctx.state.now + backoffMs)
  else requeue(ctx, task, 'retry')
  if (ctx.state.wantsTaskNotices) {
    ctx.emit({
      type: 'notify',
      notice: { type: 'task-retried', task: refOf(task), peer: null, processor: null },
    })
  }
}

/** The processor died while the task ran there: after the third, the task is taken to be the cause. */
export function loseAttempt(ctx: StepContext, task: TaskState, processor: ProcessorState | null): void {
  if (task.count > 1) {
    dissolveLost(ctx, task, 'lost')
    return
  }
  cancelChildren(ctx, task)
  if (processor !== null) {
    const id = processor.record.id
    // A processor that died and was replaced counts again: a room with one processor must not try for ever.
    task.lostOn ??= []
    task.lostOn.push(id)
  }
  const lostOn = task.lostOn ?? []
  if (lostOn.length >= ctx.state.config.poisonLimit) {
    const text = `Cannot run task "${taskIdOf(refOf(task))}" again as ${lostOn.length} processors died while it ran: ${lostOn.join(', ')}`
    const peer = processor === null ? null : peerOfProcessor(processor.record.id)
    const error = errorRecord('E_TASK_POISON', text)
    makeEnded(ctx, task, { status: 'failed', error, origin: refOf(task), attempts: lostOn.length, peer })
    return
  }
  if (task.status === 'assigned') requeue(ctx, task, 'lost')
}

/** The attempt never ran: try it again, soon, but never in a hot loop. */
export function refuseAttempt(ctx: StepContext, task: TaskState): void {
  if (task.status !== 'assigned') return
  if (task.count > 1) {
    dissolveLost(ctx, task, 'refused')
    return
  }
  task.refusals++
  if (task.refusals > refusalsMax) makeBackoff(ctx, task, ctx.state.now + refusalPauseMs)
  else requeue(ctx, task, 'refused')
}

/** Children of an attempt that will not come back: the next attempt spawns its own. */
export function cancelChildren(ctx: StepContext, task: TaskState): void {
  if (task.job.children.size === 0) return
  for (const child of task.job.nested.values()) {
    if (isFinal(child.status)) continue
    const parent = child.spec.parent
    if (parent?.no === task.spec.no && parent.attempt === task.attempt) {
      cancelTask(ctx, child, 'the body that spawned it was lost')
    }
  }
}

/** Ends a task as cancelled and stops its attempt wherever it is. */
export function cancelTask(ctx: StepContext, task: TaskState, reason: string): void {
  if (isFinal(task.status)) return
  const { processor, attempt, job } = task
  if (processor !== null) {
    ctx.attempt('abort', processor.peer.id, job.id, job.claim.epoch, { no: task.spec.no, attempt })
  }
  makeEnded(ctx, task, { status: 'cancelled', reason })
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

function adoptRunning(
  ctx: StepContext,
  job: JobState,
  from: PeerId,
  ref: MessageOf<'holdings'>['running'][number],
): void {
  const task = attemptedTask(job, ref.no, ref.attempt)
  if (task !== undefined && task.status === 'assigned' && task.attempt === ref.attempt) return
  const processor = ctx.state.processors.get(ref.processor)
  const canAdopt =
    job.isAdopting && task !== undefined && task.status === 'waiting' && processor?.peer.id === from
  if (!canAdopt) {
    ctx.attempt('abort', from, job.id, job.claim.epoch, ref)
    return
  }
  makeAssigned(ctx, task, processor, ref.attempt, ctx.state.config.unknownRunMs)
  if (task.spec.needs.length > 0) task.pendingNeeds = unresolved
}

function currentTask(job: JobState, from: PeerId, ref: AttemptRef): TaskState | null {
  const task = attemptedTask(job, ref.no, ref.attempt)
  if (task?.status !== 'assigned' || task.attempt !== ref.attempt) return null
  return task.processor?.peer.id === from ? task : null
}
