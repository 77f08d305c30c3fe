import { ShoalError } from '../model/errors.ts'
import { taskIdOf } from '../model/ids.ts'
import { scopeKey } from '../model/scope.ts'
import type { Outcome } from '../model/task.ts'
import type { StepContext } from './context.ts'
import { Deque } from './deque.ts'
import {
  attemptedTask,
  type ProcessorState,
  type ReadyLane,
  refOf,
  type TaskState,
  type TaskStatus,
} from './state.ts'

/*
 * Theory of operation. A task of an owned job moves
 *
 *   waiting -> ready -> assigned -> done | failed | cancelled
 *
 * `waiting`: inputs are missing, or the job is not owned here. `ready`: in a lane, waiting for credit.
 * `assigned`: one attempt of it is with one processor, and no other attempt counts. Back to `ready`
 * when that attempt is lost, refused or stolen; over `backoff` when its body threw and retries are
 * left. Every state but the final ones may fall back to `waiting` when the job gets a newer owner.
 * A final state is left never; a correction by an older epoch's record replaces only the outcome.
 * A pair that is not in the table is a bug in Shoal and throws with the task's story.
 */

type Move = (ctx: StepContext, task: TaskState) => void

const leaveAssigned: Move = (ctx, task) => {
  const processor = task.processor
  if (processor === null) return
  if (task.openChildren > 0) stopWaiting(processor, task)
  task.openChildren = 0
  processor.assigned.delete(task)
  if (processor.guest === task) processor.guest = null
  processor.queuedMs = processor.assigned.size === 0 ? 0 : processor.queuedMs - task.estimateMs
  task.processor = null
  task.isRevoking = false
  if (!processor.isClosing || processor.assigned.size > 0) return
  ctx.state.processors.delete(processor.record.id)
  ctx.state.processorsVersion++
}

function startWaiting(processor: ProcessorState, task: TaskState): void {
  processor.waiting++
  processor.queuedMs -= task.estimateMs
}

function stopWaiting(processor: ProcessorState, task: TaskState): void {
  processor.waiting--
  processor.queuedMs += task.estimateMs
}

/**
 * The present attempt of `parent` spawned tasks. While they are open it gives its place away: a tree of
 * tasks that wait for their children must not use up the credit that the children need.
 */
export function addOpenChildren(ctx: StepContext, parent: TaskState, count: number): void {
  if (parent.processor === null || count === 0) return
  if (parent.openChildren === 0) startWaiting(parent.processor, parent)
  parent.openChildren += count
  ctx.isDirty = true
}

/** A spawned task has ended: with the last one its parent goes on. */
function closeChild(task: TaskState): void {
  const { parent } = task.spec
  if (parent === null) return
  const waiting = attemptedTask(task.job, parent.no, parent.attempt)
  if (waiting === undefined || waiting.processor === null || waiting.attempt !== parent.attempt) return
  if (waiting.openChildren === 0) return
  waiting.openChildren--
  if (waiting.openChildren === 0) stopWaiting(waiting.processor, waiting)
}

const none: Move = () => undefined

/** What leaving `from` does, by where to: the legal moves. */
const table: Readonly<Record<TaskStatus, Partial<Record<TaskStatus, Move>>>> = {
  waiting: { waiting: none, ready: none, assigned: none, done: none, failed: none, cancelled: none },
  ready: { waiting: none, assigned: none, done: none, failed: none, cancelled: none },
  assigned: {
    waiting: leaveAssigned,
    ready: leaveAssigned,
    backoff: leaveAssigned,
    done: leaveAssigned,
    failed: leaveAssigned,
    cancelled: leaveAssigned,
  },
  backoff: { waiting: none, ready: none, done: none, failed: none, cancelled: none },
  done: {},
  failed: {},
  cancelled: {},
}

function move(ctx: StepContext, task: TaskState, to: TaskStatus, detail: string | number | null): void {
  const leave = table[task.status][to]
  if (leave === undefined) {
    throw new ShoalError(
      'E_INVARIANT',
      `Cannot move task "${taskIdOf(refOf(task))}" to ${to}: current value is ${task.status}`,
      {
        story: ctx.state.story.of(task),
      },
    )
  }
  // Placement has to look again only when something became ready or credit became free.
  if (to === 'ready' || task.status === 'assigned') ctx.isDirty = true
  leave(ctx, task)
  task.status = to
  ctx.state.story.add(ctx.state.now, task, to, detail)
}

/** Puts a task into its lane; at the front when it has been in front before. */
export function makeReady(
  ctx: StepContext,
  task: TaskState,
  place: 'back' | 'front' = 'back',
  why: string | null = null,
): void {
  move(ctx, task, 'ready', why)
  const lane = laneFor(ctx, task)
  if (place === 'front') lane.queue.pushFront(task)
  else lane.queue.push(task)
}

/** Records that `attempt` of the task is with `processor`. */
export function makeAssigned(
  ctx: StepContext,
  task: TaskState,
  processor: ProcessorState,
  attempt: number,
  estimateMs: number,
): void {
  move(ctx, task, 'assigned', processor.record.id)
  task.attempt = attempt
  task.processor = processor
  task.assignedAt = ctx.state.now
  task.estimateMs = estimateMs
  processor.assigned.add(task)
  processor.queuedMs += estimateMs
}

/** Parks a task until its retry is due. */
export function makeBackoff(ctx: StepContext, task: TaskState, dueAt: number): void {
  move(ctx, task, 'backoff', `until ${dueAt.toFixed(0)} ms`)
  ctx.state.timers.arm(dueAt, { type: 'retry', task })
}

/** Forgets all placement of a task: its job is (or was) somebody else's. */
export function makeWaiting(ctx: StepContext, task: TaskState, why: string): void {
  move(ctx, task, 'waiting', why)
}

/** Ends a task. What follows from it (dependents, documents, watchers) is `settleEnded`'s work. */
export function makeEnded(ctx: StepContext, task: TaskState, outcome: Outcome): void {
  move(
    ctx,
    task,
    outcome.status,
    outcome.status === 'failed' ? (outcome.error.code ?? outcome.error.name) : null,
  )
  task.outcome = outcome
  if (task.remakes === null) {
    task.job[outcome.status] += task.count
    closeChild(task)
  }
  ctx.ended.push(task)
}

function laneFor(ctx: StepContext, task: TaskState): ReadyLane {
  const { scope, priority } = task.spec.options
  const lanes = ctx.state.lanes
  // Options are shared by all tasks that have the same: mostly no key has to be made.
  for (const lane of lanes) if (lane.scope === scope && lane.priority === priority) return lane
  const key = `${priority} ${scopeKey(scope)}`
  let lane = lanes.find((candidate) => candidate.key === key)
  if (lane === undefined) {
    lane = {
      key,
      priority,
      scope,
      queue: new Deque(),
      candidates: [],
      candidatesVersion: -1,
      isStarving: false,
    }
    const at = lanes.findIndex((other) => other.priority < priority)
    lanes.splice(at === -1 ? lanes.length : at, 0, lane)
  }
  return lane
}
