import { ChunkPayload } from '../model/chunk.ts'
import type { ErrorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId, ProcessorId } from '../model/ids.ts'
import type { Assignment, AttemptRef, AttemptResult, MessageOf, SliceAssignment } from '../model/message.ts'
import type { RangeItems } from '../model/payload.ts'
import { nextAverageMs } from '../policy/estimate.ts'
import type { StepContext } from './context.ts'
import { Deque } from './deque.ts'
import type { Call } from './effects.ts'
import type { CallEnded } from './events.ts'
import type { ExecutorJob, ExecutorProcessor, HeldAttempt } from './executor-state.ts'
import { chunksOf, dropIfUnused, forgetMissing, forgetUngathered, gather, keepResult } from './holder.ts'
import { isCurrentOwner } from './obey.ts'
import type { SchedulerState } from './state.ts'

/*
 * The executing half of a peer: it takes attempts from any owner, queues them per processor, hands
 * them to the processor in batches, and keeps each result until the owner has committed it. It never
 * decides what should run; it only refuses owners that are not the newest it has heard of.
 */

export function onAssign(ctx: StepContext, from: PeerId, message: MessageOf<'assign'>): void {
  if (!isCurrentOwner(ctx, from, message.job, message.epoch)) return
  const { executor } = ctx.state
  const job = executor.jobs.get(message.job) as ExecutorJob
  const touched: ProcessorId[] = []
  for (const task of message.tasks) {
    const held = job.held.get(task.attempt)
    if (held !== undefined) {
      if (held.result !== null) tellResult(ctx, from, message.job, message.epoch, held)
      continue
    }
    const processor = ctx.state.executor.processors.get(task.processor)
    if (processor === undefined) {
      ctx.result(from, message.job, message.epoch, resultOf(task, itemsOf(task), { status: 'refused' }, 0))
      continue
    }
    const callId = ctx.state.executor.nextCallId++
    const { no, attempt, operation, args, inputs, timeoutMs, remakes } = task
    const items = itemsOf(task)
    const owner = from
    const plain = { callId, job: message.job, no, attempt, operation, args, items, inputs, timeoutMs, owner }
    const call: Call = remakes === undefined ? plain : { ...plain, remakes }
    const chunks = chunksOf(task)
    const entry: HeldAttempt = {
      call,
      processor: task.processor,
      epoch: message.epoch,
      phase: chunks.length === 0 ? 'queued' : 'gathering',
      isYielded: false,
      slot: null,
      slotMs: 0,
      result: null,
      endedAt: 0,
    }
    job.held.set(attempt, entry)
    if (chunks.length > 0) {
      executor.calls.set(callId, entry)
      gather(ctx, call, chunks)
      continue
    }
    processor.queue.push(entry)
    if (!touched.includes(task.processor)) touched.push(task.processor)
  }
  for (const id of touched) dispatch(ctx, id)
}

function itemsOf(task: Assignment): RangeItems | null {
  return 'items' in task ? (task as SliceAssignment).items : null
}

function resultOf(
  { no, attempt }: AttemptRef,
  items: RangeItems | null,
  outcome: AttemptResult['outcome'],
  ranMs: number,
): AttemptResult {
  const result = { no, attempt, outcome, ranMs }
  return items === null ? result : { ...result, count: items.count }
}

/** Gives a processor its next batch: a few milliseconds of work and a call to go on with, or one that has a deadline. */
export function dispatch(ctx: StepContext, id: ProcessorId): void {
  const { executor } = ctx.state
  const processor = executor.processors.get(id)
  if (processor === undefined) return
  for (let next = processor.queue.peek(); next !== undefined; next = processor.queue.peek()) {
    if (next.phase !== 'queued') {
      processor.queue.shift()
      continue
    }
    const isTimed = next.call.timeoutMs > 0
    const runMs = runMsOf(ctx.state, next.call.operation) * countOf(next.call)
    const isBusy = processor.running > 0
    if (isBusy && (isTimed || processor.isTimed)) return
    if (isBusy && !hasRoom(ctx.state, processor, next.call.operation, runMs)) return
    processor.queue.shift()
    next.phase = 'running'
    processor.running++
    processor.runningMs += runMs
    next.slot = processor
    next.slotMs = runMs
    processor.isTimed = isTimed
    executor.calls.set(next.call.callId, next)
    ctx.execute(id, next.call)
  }
}

/** Whether a busy processor gets one more call: a few milliseconds of work, or one short call to go on with. */
function hasRoom(
  { executor, config }: SchedulerState,
  processor: ExecutorProcessor,
  operation: OperationHash,
  runMs: number,
): boolean {
  if (processor.running >= config.batchMax) return false
  if (processor.runningMs + runMs <= config.windowMs) return true
  // What was never measured may run for ever, and what was handed over cannot be stolen.
  return processor.running === 1 && runMs <= config.aheadMs && executor.runMs.has(operation)
}

export function runMsOf(state: SchedulerState, operation: OperationHash): number {
  return state.executor.runMs.get(operation) ?? state.config.windowMs
}

export function onCallsEnded(ctx: StepContext, ended: readonly CallEnded[]): void {
  const { executor } = ctx.state
  const touched: ProcessorId[] = []
  let ran: OperationHash | null = null
  let totalMs = 0
  let count = 0
  for (const { callId, outcome, ranMs } of ended) {
    const held = executor.calls.get(callId)
    if (held === undefined || held.phase === 'gathering') continue
    executor.calls.delete(callId)
    if (!touched.includes(held.processor)) touched.push(held.processor)
    const { operation } = held.call
    if (!held.isYielded) freeSlot(held)
    if (outcome.status === 'done' || outcome.status === 'sliced') {
      if (operation !== ran) {
        learnRunMs(ctx.state, ran, totalMs, count)
        ran = operation
        totalMs = 0
        count = 0
      }
      totalMs += ranMs
      count += outcome.status === 'done' ? 1 : outcome.values.count
    }
    endHeld(ctx, held, outcome, ranMs)
  }
  learnRunMs(ctx.state, ran, totalMs, count)
  for (const id of touched) dispatch(ctx, id)
}

export function learnRunMs(
  state: SchedulerState,
  operation: OperationHash | null,
  totalMs: number,
  count: number,
): void {
  if (operation === null) return
  const { runMs } = state.executor
  runMs.set(operation, nextAverageMs(runMs.get(operation), totalMs / count, count))
}

export function freeSlot({ slot: processor, slotMs }: HeldAttempt): void {
  if (processor === null) return
  processor.running--
  if (processor.running === 0) {
    processor.runningMs = 0
    processor.isTimed = false
  } else processor.runningMs = Math.max(0, processor.runningMs - slotMs)
}

/** Records how an attempt ended and tells its owner; kept until the owner has committed it. */
function endHeld(ctx: StepContext, held: HeldAttempt, outcome: CallEnded['outcome'], ranMs: number): void {
  held.phase = 'ended'
  held.endedAt = ctx.state.now
  const { attempt } = held.call
  held.result = resultOf(held.call, held.call.items, outcome, ranMs)
  ctx.state.executor.submitting.get(held.call.job)?.delete(held.call.attempt)
  const job = ctx.state.executor.jobs.get(held.call.job)
  const isWanted = job?.held.has(attempt) === true
  if (isWanted) tellResult(ctx, job.owner, held.call.job, job.epoch, held)
  for (const chunk of chunksMade(outcome)) {
    if (isWanted) keepResult(ctx, chunk, job.owner)
    else dropIfUnused(ctx, chunk.ref.id)
  }
}

const noChunks: readonly ChunkPayload[] = []

function chunksMade(outcome: CallEnded['outcome']): readonly ChunkPayload[] {
  if (outcome.status === 'done') return outcome.value instanceof ChunkPayload ? [outcome.value] : noChunks
  return outcome.status === 'sliced' ? outcome.apart.flatMap((item) => chunksMade(item.outcome)) : noChunks
}

export function tellResult(
  ctx: StepContext,
  to: PeerId,
  job: JobId,
  epoch: number,
  { result }: HeldAttempt,
): void {
  if (result !== null) ctx.result(to, job, epoch, result)
}

function countOf({ items }: Call): number {
  return items === null ? 1 : items.count
}

/** The chunks of an attempt are here, or cannot be had: it takes its place in the queue, or goes back. */
export function onChunksGathered(ctx: StepContext, callId: number, error: ErrorRecord | null): void {
  const { executor } = ctx.state
  const held = executor.calls.get(callId)
  if (held?.phase !== 'gathering') {
    forgetMissing(ctx)
    return
  }
  executor.calls.delete(callId)
  const processor = executor.processors.get(held.processor)
  if (error !== null) {
    forgetUngathered(ctx, held.call)
    endHeld(ctx, held, { status: 'unfed', error }, 0)
  } else if (processor === undefined) endHeld(ctx, held, { status: 'refused' }, 0)
  else {
    held.phase = 'queued'
    processor.queue.push(held)
    dispatch(ctx, held.processor)
    return
  }
  ctx.emit({ type: 'stop-gather', callId })
}

/** A body waits for other tasks, or goes on after that: only the count of busy slots changes. */
export function onYield(ctx: StepContext, callId: number, isYielded: boolean): void {
  const held = ctx.state.executor.calls.get(callId)
  if (held === undefined || held.isYielded === isYielded) return
  if (isYielded) freeSlot(held)
  held.isYielded = isYielded
  const { slot } = held
  if (slot !== null && !isYielded) {
    slot.running++
    slot.runningMs += held.slotMs
  }
  dispatch(ctx, held.processor)
}

/** The processors of this peer changed: queues of those that went away are handed back. */
export function setExecutorProcessors(ctx: StepContext, ids: readonly ProcessorId[]): void {
  const { processors } = ctx.state.executor
  for (const [id, processor] of processors) {
    if (ids.includes(id)) continue
    processors.delete(id)
    for (const held of processor.queue) {
      if (held.phase === 'queued') endHeld(ctx, held, { status: 'refused' }, 0)
    }
  }
  for (const id of ids) {
    if (!processors.has(id)) processors.set(id, newProcessor())
  }
}

function newProcessor(): ExecutorProcessor {
  return { queue: new Deque(), running: 0, runningMs: 0, isTimed: false }
}
