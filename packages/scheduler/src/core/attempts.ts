import { ChunkPayload } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type PeerId, taskIdOf } from '../model/ids.ts'
import type { AttemptOutcome } from '../model/message.ts'
import type { Payload } from '../model/payload.ts'
import { doubtHolders, noteCopies } from './chunks.ts'
import type { StepContext } from './context.ts'
import { requeue } from './jobs.ts'
import { dissolve } from './slices.ts'
import { isFinal, type Loss, type ProcessorState, refOf, type TaskState } from './state.ts'
import { failPoison, isPoison, noteDeath } from './suspects.ts'
import { makeBackoff, makeEnded, makeWaiting } from './transitions.ts'

/*
 * What follows for a task from the end of one attempt: its end, another attempt, a pause, or quarantine.
 */

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

export interface SingleResult {
  readonly attempt: number
  readonly outcome: AttemptOutcome
  readonly ranMs: number
}

/** Its items go on as tasks of their own: nobody knows which of them is to blame. */
export function dissolveLost(ctx: StepContext, slice: TaskState, why: string): void {
  makeWaiting(ctx, slice, why)
  for (const task of dissolve(slice).reverse()) requeue(ctx, task, why)
}

/** An attempt of a single task ended on `from`. */
export function endAttempt(
  ctx: StepContext,
  task: TaskState,
  from: PeerId,
  processor: ProcessorState | null,
  { attempt, outcome, ranMs }: SingleResult,
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
      noteDeath(ctx.state)
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
  for (const chunk of task.chunks ?? []) doubtHolders(ctx, chunk)
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

/**
 * The processor died while the task ran there, most likely. From then on it runs alone, so that only a task that
 * really kills dies again and again: after the third time it is taken to be the cause.
 * @param processor `null`: it did not die
 */
export function loseAttempt(ctx: StepContext, task: TaskState, processor: ProcessorState | null): void {
  if (task.count > 1) {
    dissolveLost(ctx, task, 'lost')
    return
  }
  cancelChildren(ctx, task)
  if (processor !== null) {
    // A processor that died and was replaced counts again: a room with one processor must not try for ever.
    const { id } = processor.record
    const { now, config, timers } = ctx.state
    const loss: Loss = { processor: id, attempt: task.attempt, wasAlone: processor.guest === task, at: now }
    task.losses = [...(task.losses ?? []), loss]
    timers.arm(now + config.elsewhereMs, { type: 'place' })
    if (isPoison(ctx.state, task.losses)) {
      failPoison(ctx, task, task.losses)
      return
    }
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
