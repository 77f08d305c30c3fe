import { ChunkPayload } from '../model/chunk.ts'
import type { OperationHash } from '../model/ids.ts'
import type { AssignmentInput, SliceAssignment } from '../model/message.ts'
import type { Payload } from '../model/payload.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import { matchesScope, type Scope, scopeKey } from '../model/scope.ts'
import { nextAverageMs } from '../policy/estimate.ts'
import { hasCredit, placementCostMs } from '../policy/place.ts'
import { sliceCount } from '../policy/slice.ts'
import { stealCount } from '../policy/steal.ts'
import { hasChunks } from './chunks.ts'
import type { StepContext } from './context.ts'
import { split } from './slices.ts'
import {
  type ChunkState,
  noInputs,
  type ProcessorState,
  type ReadyLane,
  type SchedulerState,
  type TaskState,
} from './state.ts'
import { hasGuest, isWaryJob, placeAlone, staysAway } from './suspects.ts'
import { makeAssigned } from './transitions.ts'

/** Hands ready tasks to processors with credit, then looks for idle processors to feed by stealing. */
export function schedule(ctx: StepContext): void {
  observeRuns(ctx)
  seatGuests(ctx)
  for (const lane of ctx.state.lanes) {
    if (lane.queue.size > 0) drainLane(ctx, lane)
  }
  stealForIdle(ctx)
}

/** Whoever waits for a processor to itself, which is empty by now: it may stand far behind in its lane. */
function seatGuests(ctx: StepContext): void {
  for (const processor of ctx.state.processors.values()) {
    const { guest, isClosing, peer } = processor
    if (guest?.status !== 'ready' || isClosing || peer.isSuspected || peer.isMute) continue
    if (processor.assigned.size > processor.waiting) continue
    if (guest.chunks === null || hasChunks(ctx, guest)) assign(ctx, guest, processor)
  }
}

function drainLane(ctx: StepContext, lane: ReadyLane): void {
  const candidates = candidatesOf(ctx.state, lane)
  if (candidates.length === 0) {
    starve(ctx, lane)
    return
  }
  lane.isStarving = false
  let parked: Parking | null = null
  /** Those that wait for a processor to themselves, which is kept for them: others need not wait with them. */
  const alone: TaskState[] = []
  for (let task = lane.queue.peek(); task !== undefined; task = lane.queue.peek()) {
    if (task.status !== 'ready') {
      lane.queue.shift()
      continue
    }
    if (task.chunks !== null && !hasChunks(ctx, task)) {
      lane.queue.shift()
      continue
    }
    const processor = cheapest(ctx.state, candidates, task)
    if (processor === null) {
      if (task.losses === null) break
      lane.queue.shift()
      alone.push(task)
      continue
    }
    if (task.chunks !== null) {
      parked ??= createParking()
      if (parked.holds(ctx.state, candidates, task, processor)) {
        lane.queue.shift()
        if (parked.tasks.length === parkedMax) break
        continue
      }
    }
    lane.queue.shift()
    assign(ctx, task.count === 1 ? task : cutFront(ctx, lane, task, processor, candidates.length), processor)
  }
  for (const task of parked?.tasks.reverse() ?? []) lane.queue.pushFront(task)
  for (const task of alone.reverse()) lane.queue.pushFront(task)
}

/** Tasks of one lane that wait for busy processors at the same time: each is looked at again whenever a place is free. */
const parkedMax = 64

/** Tasks that stay in front of their lane for a busy processor that has their chunks. */
interface Parking {
  readonly tasks: TaskState[]
  /** Whether to wait for a better processor costs less than to move bytes to `free`. Counts who waits already. */
  holds(
    state: SchedulerState,
    candidates: readonly ProcessorState[],
    task: TaskState,
    free: ProcessorState,
  ): boolean
}

function createParking(): Parking {
  const waitingMs = new Map<ProcessorState, number>()
  const tasks: TaskState[] = []
  return {
    tasks,
    holds(state, candidates, task, free) {
      let best = free
      let bestMs = Number.POSITIVE_INFINITY
      for (const processor of candidates) {
        const runMs = itemEstimateMs(state, task, processor)
        const costMs = costOf(state, task, processor, runMs) + (waitingMs.get(processor) ?? 0)
        if (costMs >= bestMs) continue
        best = processor
        bestMs = costMs
      }
      if (best === free || hasCredit(best, best.peer.rttMs, state.config)) return false
      waitingMs.set(best, (waitingMs.get(best) ?? 0) + itemEstimateMs(state, task, best))
      tasks.push(task)
      return true
    },
  }
}

/** Most bytes of arguments in one slice: what is behind it on a link must not wait long. */
const sliceBytes = 16_384

/** The part of a slice that a processor gets now; the rest stays in front of the lane. */
function cutFront(
  ctx: StepContext,
  lane: ReadyLane,
  task: TaskState,
  processor: ProcessorState,
  places: number,
): TaskState {
  const itemMs = itemEstimateMs(ctx.state, task, processor)
  const most = sliceCount(task.count, itemMs, places, ctx.state.config)
  const sizeBytes = most === 1 ? 0 : (task.items?.slice(0, most).sizeBytes ?? 0)
  const count = sizeBytes > sliceBytes ? Math.max(1, Math.floor((most * sliceBytes) / sizeBytes)) : most
  if (count === task.count) return task
  const [front, rest] = split(task, [count, task.count - count]) as [TaskState, TaskState]
  lane.queue.pushFront(rest)
  return front
}

function candidatesOf(state: SchedulerState, lane: ReadyLane): ProcessorState[] {
  if (lane.candidatesVersion === state.processorsVersion) return lane.candidates
  const inScope = [...state.processors.values()].filter(
    (processor) => !processor.isClosing && matchesScope(lane.scope, processor.record),
  )
  const trusted = inScope.filter(({ peer }) => !peer.isSuspected && !peer.isMute)
  lane.candidates = trusted.length > 0 ? trusted : inScope
  lane.candidatesVersion = state.processorsVersion
  return lane.candidates
}

/** The processor with credit where the task would end first; `null` when none has credit. */
export function cheapest(
  state: SchedulerState,
  candidates: readonly ProcessorState[],
  task: TaskState,
): ProcessorState | null {
  const isWary = staysAway(state, candidates, task)
  if (task.losses !== null) return placeAlone(state, candidates, task, isWary)
  let best: ProcessorState | null = null
  let bestMs = Number.POSITIVE_INFINITY
  // Runs for every task: a plain loop makes no iterator where the compiler cannot see through it.
  for (let index = 0; index < candidates.length; index++) {
    const processor = candidates[index] as ProcessorState
    if (processor.guest !== null && hasGuest(processor)) continue
    if (!hasCredit(processor, processor.peer.rttMs, state.config)) continue
    if (isWary && processor.peer.id === state.self) continue
    const costMs = costOf(state, task, processor, itemEstimateMs(state, task, processor))
    if (costMs < bestMs) {
      best = processor
      bestMs = costMs
    }
  }
  return best
}

/** What the task would cost there, in milliseconds. */
function costOf(state: SchedulerState, task: TaskState, processor: ProcessorState, runMs: number): number {
  const { queuedMs, peer } = processor
  const { rttMs, bytesPerMs } = peer
  const { chunks } = task
  if (chunks === null) return placementCostMs({ queuedMs, runMs, bytesToMove: 0, bytesPerMs, rttMs })
  const missing = chunks.filter((chunk) => !chunk.holders.has(peer.id))
  const bytesToMove = missing.reduce((sum, chunk) => sum + chunk.payload.ref.sizeBytes, 0)
  const rates = missing.map((chunk) => moveRate(state, chunk, bytesPerMs))
  return placementCostMs({ queuedMs, runMs, bytesToMove, bytesPerMs: Math.min(bytesPerMs, ...rates), rttMs })
}

/** The rate from the best holder to a peer: as fast as the slower of the two links that were measured. */
function moveRate(state: SchedulerState, chunk: ChunkState, bytesPerMs: number): number {
  let best = 0
  for (const holder of chunk.holders.keys()) best = Math.max(best, state.peers.get(holder)?.bytesPerMs ?? 0)
  return Math.max(1, Math.min(best, bytesPerMs))
}

/** Inputs as they travel: with the chunks' holders of now. */
function inputsOf(task: TaskState): readonly AssignmentInput[] {
  const { chunks } = task.spec
  const inputs = task.inputs ?? noInputs
  if (task.chunks === null) return inputs
  const named = (chunks ?? []).filter(({ index }) => index >= 0)
  return [...inputs, ...named.map(({ index, chunk }) => ({ index, value: chunk }))].map(
    ({ index, value }) => ({
      index,
      value: withHolders(task, value),
    }),
  )
}

function withHolders(task: TaskState, value: Payload): Payload {
  if (!(value instanceof ChunkPayload)) return value
  const chunk = task.chunks?.find(({ payload }) => payload.ref.id === value.ref.id)
  return chunk === undefined
    ? value
    : new ChunkPayload(value.ref, value.task, [...chunk.holders.keys()], value.inner)
}

function assign(ctx: StepContext, task: TaskState, processor: ProcessorState): void {
  const { job, spec } = task
  const attempt = job.nextAttempt++
  if (task.chunks !== null) tellMoves(ctx, task, processor)
  makeAssigned(ctx, task, processor, attempt, estimateMs(ctx.state, task, processor))
  const assignment = {
    no: spec.no,
    attempt,
    processor: processor.record.id,
    operation: spec.operation,
    args: withHolders(task, spec.args),
    inputs: inputsOf(task),
    timeoutMs: spec.options.timeoutMs,
  }
  const { items, remakes } = task
  if (items === null) {
    ctx.assign(processor.peer.id, job, remakes === null ? assignment : { ...assignment, remakes })
  } else {
    const slice: SliceAssignment = { ...assignment, items }
    ctx.assign(processor.peer.id, job, slice)
  }
  if (!ctx.state.wantsTaskNotices) return
  for (let no = spec.no; no < spec.no + task.count; no++) {
    const ref = { job: job.id, no }
    ctx.emit({
      type: 'notify',
      notice: { type: 'task-assigned', task: ref, peer: processor.peer.id, processor: processor.record.id },
    })
  }
}

/** For those who ask why it runs there. */
function tellMoves(ctx: StepContext, task: TaskState, processor: ProcessorState): void {
  const { id } = processor.peer
  const missing = (task.chunks ?? []).filter((chunk) => !chunk.holders.has(id))
  const bytes = missing.reduce((sum, chunk) => sum + chunk.payload.ref.sizeBytes, 0)
  const costMs = costOf(ctx.state, task, processor, estimateMs(ctx.state, task, processor)).toFixed(1)
  ctx.state.story.add(ctx.state.now, task, `placed on ${id} for ${costMs} ms, bytes to move:`, bytes)
}

/** How long a task or slice is expected to run there, in milliseconds. */
export function estimateMs(state: SchedulerState, task: TaskState, processor: ProcessorState): number {
  return task.count * itemEstimateMs(state, task, processor)
}

function itemEstimateMs(state: SchedulerState, task: TaskState, processor: ProcessorState): number {
  const estimate = state.estimates.get(task.spec.operation)
  if (estimate === undefined) return state.config.unknownRunMs / processor.record.score
  return estimate.byProcessor.get(processor.record.id) ?? estimate.meanMs / processor.record.score
}

/** Learns from the runs that a step was told of, batch by batch. */
function observeRuns(ctx: StepContext): void {
  for (const { operation, processor, count, totalMs } of ctx.takeRuns())
    observeRun(ctx.state, operation, processor, totalMs, count)
}

/** Learns from `count` runs on one processor that took `totalMs` together. */
export function observeRun(
  { estimates }: SchedulerState,
  operation: OperationHash,
  { id, score }: ProcessorRecord,
  totalMs: number,
  count: number,
): void {
  const ranMs = totalMs / count
  const estimate = estimates.get(operation)
  if (estimate === undefined) {
    const firstMs = nextAverageMs(undefined, ranMs)
    estimates.set(operation, { meanMs: firstMs * score, byProcessor: new Map([[id, firstMs]]) })
  } else {
    estimate.meanMs = nextAverageMs(estimate.meanMs, ranMs * score, count)
    estimate.byProcessor.set(id, nextAverageMs(estimate.byProcessor.get(id), ranMs, count))
  }
}

function starve(ctx: StepContext, lane: ReadyLane): void {
  if (lane.isStarving) return
  const first = [...lane.queue].find((task) => task.status === 'ready')
  if (first === undefined) return
  lane.isStarving = true
  const scope = scopeKey(lane.scope)
  ctx.emit({
    type: 'notify',
    notice: { type: 'starved', job: first.job.id, scope, waiting: lane.queue.size },
  })
  // A room without any lender may get one; a scope that names what is not there is an error soon.
  if (isOpenScope(lane.scope)) return
  ctx.state.timers.arm(ctx.state.now + ctx.state.config.noProcessorMs, { type: 'starve', lane })
}

/** Whether any lender would do: it need not name what is in it. */
function isOpenScope(scope: Scope): boolean {
  if (scope.type === 'union') return scope.scopes.some(isOpenScope)
  if (scope.type === 'except') return !isOpenScope(scope.scope)
  return scope.type === 'default' || scope.type === 'any'
}

/** Asks the most loaded processors for unstarted tasks that an idle one could run. */
function stealForIdle(ctx: StepContext): void {
  for (const thief of ctx.state.processors.values()) {
    if (thief.assigned.size > 0 || thief.isClosing || thief.peer.isSuspected || thief.peer.isMute) continue
    if (hasGuest(thief)) continue
    const taken = bestLoot(ctx.state, thief)
    if (taken.length === 0) continue
    for (const task of taken) {
      const victim = task.processor as ProcessorState
      victim.isRevoking = true
      task.isRevoking = true
      const ref = { no: task.spec.no, attempt: task.attempt }
      ctx.attempt('revoke', victim.peer.id, task.job.id, task.job.claim.epoch, ref)
    }
  }
}

/** The tasks to take for an idle processor: from whoever has most work waiting. */
function bestLoot(state: SchedulerState, thief: ProcessorState): readonly TaskState[] {
  let loot: readonly TaskState[] = []
  let mostMs = 0
  for (const victim of state.processors.values()) {
    if (victim === thief || victim.isRevoking || victim.assigned.size < 2 || victim.queuedMs <= mostMs)
      continue
    const count = stealCount(loadOf(victim), thief.peer.rttMs)
    if (count === 0) continue
    const waiting = [...victim.assigned].slice(1).filter((task) => isStealable(state, task, thief))
    const last = waiting.at(-1)
    if (last === undefined || !isFasterAt(state, last, victim, thief)) continue
    loot = waiting.slice(Math.max(0, waiting.length - count))
    mostMs = victim.queuedMs
  }
  return loot
}

/** Stealing must end sooner than waiting, by the same costs that placed the task, or it would go in circles. */
function isFasterAt(
  state: SchedulerState,
  task: TaskState,
  victim: ProcessorState,
  thief: ProcessorState,
): boolean {
  const thereMs = victim.queuedMs + victim.peer.rttMs
  return costOf(state, task, thief, estimateMs(state, task, thief)) < thereMs
}

function isStealable({ self }: SchedulerState, task: TaskState, thief: ProcessorState): boolean {
  if (thief.peer.id === self && isWaryJob(task.job)) return false
  return !task.isRevoking && matchesScope(task.spec.options.scope, thief.record)
}

function loadOf(processor: ProcessorState): {
  queuedMs: number
  rttMs: number
  assigned: number
  headMs: number
} {
  const [head] = processor.assigned
  return {
    queuedMs: processor.queuedMs,
    rttMs: processor.peer.rttMs,
    assigned: processor.assigned.size,
    headMs: head?.estimateMs ?? 0,
  }
}
