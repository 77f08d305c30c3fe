import { ChunkPayload } from '../model/chunk.ts'
import { type Claim, isNewerClaim } from '../model/claim.ts'
import type { ErrorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId, ProcessorId } from '../model/ids.ts'
import type {
  Assignment,
  AttemptRef,
  AttemptResult,
  MessageOf,
  RunningAttempt,
  SliceAssignment,
} from '../model/message.ts'
import type { RangeItems } from '../model/payload.ts'
import { nextAverageMs } from '../policy/estimate.ts'
import type { StepContext } from './context.ts'
import { Deque } from './deque.ts'
import type { Call } from './effects.ts'
import type { CallEnded } from './events.ts'
import { chunksOf, dropIfUnused, forgetUngathered, gather, keepResult, tellHolds } from './holder.ts'
import type { ExecutorJob, ExecutorProcessor, HeldAttempt, SchedulerState } from './state.ts'
import { applyClaim } from './takeover.ts'

/*
 * The executing half of a peer: it takes attempts from any owner, queues them per processor, hands
 * them to the processor in batches, and keeps each result until the owner has committed it. It never
 * decides what should run; it only refuses owners that are not the newest it has heard of.
 */

/** `true` when the sender may command this job here; an older owner is told so. */
function isCurrentOwner(ctx: StepContext, from: PeerId, job: JobId, epoch: number): boolean {
  const known = ctx.state.executor.jobs.get(job)
  const replicated = ctx.state.jobs.get(job)
  const obeyed = known === undefined ? null : { peer: known.owner, epoch: known.epoch }
  const newest = newerOf(obeyed, replicated?.claim ?? null)
  if (newest !== null && isNewerClaim(newest, { peer: from, epoch })) {
    ctx.send(from, { type: 'stale', job, epoch: newest.epoch })
    return false
  }
  // A command is as good a word of a claim as the documents: an owner that hears it stands down.
  if (replicated !== undefined) {
    applyClaim(ctx, replicated, from, epoch)
    replicated.isOrphaned = false
  }
  const heardAt = ctx.state.now
  if (known === undefined) ctx.state.executor.jobs.set(job, { owner: from, epoch, heardAt, held: new Map() })
  else {
    known.owner = from
    known.epoch = epoch
    known.heardAt = heardAt
  }
  return true
}

function newerOf(left: Claim | null, right: Claim | null): Claim | null {
  if (left === null || right === null) return left ?? right
  return isNewerClaim(right, left) ? right : left
}

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

function tellResult(ctx: StepContext, to: PeerId, job: JobId, epoch: number, { result }: HeldAttempt): void {
  if (result !== null) ctx.result(to, job, epoch, result)
}

function countOf({ items }: Call): number {
  return items === null ? 1 : items.count
}

/** The chunks of an attempt are here, or cannot be had: it takes its place in the queue, or goes back. */
export function onChunksGathered(ctx: StepContext, callId: number, error: ErrorRecord | null): void {
  const { executor } = ctx.state
  const held = executor.calls.get(callId)
  if (held?.phase !== 'gathering') return
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
