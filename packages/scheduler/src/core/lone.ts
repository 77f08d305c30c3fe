import { ChunkPayload, innerChunks } from '../model/chunk.ts'
import { nestedBase } from '../model/ids.ts'
import type { Assignment } from '../model/message.ts'
import type { Outcome, TaskSpec } from '../model/task.ts'
import type { Effect } from './effects.ts'
import type { Event, EventOf } from './events.ts'
import { freeSlot, learnRunMs, runMsOf } from './executor.ts'
import type { ExecutorJob, HeldAttempt } from './executor-state.ts'
import { armAudit } from './on-timer.ts'
import { cheapest, estimateMs, observeRun } from './schedule.ts'
import {
  type JobState,
  noInputs,
  type ProcessorState,
  type ReadyLane,
  type SchedulerState,
  TaskState,
} from './state.ts'
import { isInDoubt } from './takeover.ts'

/*
 * Theory of operation. A call that somebody awaits is mostly alone: one task without inputs finds a free processor,
 * and later its result finds nothing else to decide. The long way through a step visits every part of the scheduler
 * for it, to find nothing to do there: that was half of the time of an awaited call. Here the same is written out in
 * one go. Each function looks first and changes nothing until it is sure that the long way would come to the same
 * state and the same effects; else it gives `null`. A test holds both ways against each other.
 */

/** The effects of an event that concerns one task alone; `null`: it has to go the long way. */
export function stepLone(state: SchedulerState, event: Event): Effect[] | null {
  if (event.type !== 'tasks-submitted' && event.type !== 'calls-ended') return null
  if (!isQuiet(state)) return null
  const effects = event.type === 'tasks-submitted' ? submitLone(state, event) : endLone(state, event)
  if (effects !== null) armAudit(state)
  return effects
}

/** No timer is due, nobody listens to notices, nothing else waits for a step. */
function isQuiet(state: SchedulerState): boolean {
  if (state.timers.nextAt <= state.now || state.wantsTaskNotices || state.services.dirty.size > 0)
    return false
  for (const lane of state.lanes) if (lane.queue.size > 0) return false
  return true
}

function submitLone(state: SchedulerState, event: EventOf<'tasks-submitted'>): Effect[] | null {
  const { specs } = event
  const spec = specs[0]
  const job = state.jobs.get(event.job)
  if (spec === undefined || specs.length > 1 || job === undefined || !isPlain(state, job, spec)) return null
  const lane = openLane(state, spec)
  if (lane === null) return null
  const task = new TaskState(job, spec, null)
  const processor = cheapest(state, lane.candidates, task)
  if (processor === null || processor.assigned.size > 0) return null
  const isHere = processor.peer.id === state.self
  if (isHere && !isFree(state, job, processor)) return null

  job.tasks[spec.no] = task
  job.total++
  task.isWatched = true
  task.status = 'assigned'
  task.attempt = job.nextAttempt++
  task.processor = processor
  task.assignedAt = state.now
  task.estimateMs = estimateMs(state, task, processor)
  processor.assigned.add(task)
  processor.queuedMs += task.estimateMs
  state.story.add(state.now, task, 'ready')
  state.story.add(state.now, task, 'assigned', processor.record.id)
  const effects = [isHere ? execute(state, task, processor) : send(task, processor)]
  if (state.isReplicated) effects.push({ type: 'write', records: [{ type: 'specs', job: job.id, specs }] })
  return effects
}

/** A task without inputs of an open job owned here that nobody has asked about. */
function isPlain(
  state: SchedulerState,
  job: JobState,
  { no, args, needs, chunks, parent }: TaskSpec,
): boolean {
  if (!job.isMine || job.isOrphaned || job.isAdopting || job.isEnded) return false
  if (needs.length > 0 || chunks !== undefined || parent !== null || args instanceof ChunkPayload)
    return false
  if (state.foreignWatches.size > 0 || state.orphans.size > 0) return false
  return no < nestedBase && job.tasks[no] === undefined
}

/** The lane of such tasks, when it was used before and nobody came or went since. */
function openLane(state: SchedulerState, { options }: TaskSpec): ReadyLane | null {
  for (const lane of state.lanes) {
    if (lane.scope !== options.scope || lane.priority !== options.priority) continue
    return lane.isStarving || lane.candidatesVersion !== state.processorsVersion ? null : lane
  }
  return null
}

/** A processor of this peer that runs nothing for anybody. */
function isFree({ executor, self }: SchedulerState, job: JobState, { record }: ProcessorState): boolean {
  const processor = executor.processors.get(record.id)
  if (processor === undefined || processor.running > 0 || processor.queue.size > 0) return false
  const known = executor.jobs.get(job.id)
  return known !== undefined && known.owner === self && known.epoch === job.claim.epoch
}

function execute(state: SchedulerState, task: TaskState, { record }: ProcessorState): Effect {
  const { executor } = state
  const { job, spec, attempt } = task
  const { no, operation, args, options } = spec
  const { timeoutMs } = options
  const callId = executor.nextCallId++
  const call = {
    callId,
    job: job.id,
    no,
    attempt,
    operation,
    args,
    items: null,
    inputs: noInputs,
    timeoutMs,
    owner: state.self,
  }
  const slotMs = runMsOf(state, operation)
  const slot = executor.processors.get(record.id) ?? null
  const held: HeldAttempt = {
    call,
    processor: record.id,
    epoch: job.claim.epoch,
    phase: 'running',
    isYielded: false,
    slot,
    slotMs,
    result: null,
    endedAt: 0,
  }
  const known = executor.jobs.get(job.id) as ExecutorJob
  known.heardAt = state.now
  known.held.set(attempt, held)
  executor.calls.set(callId, held)
  if (slot !== null) {
    slot.running = 1
    slot.runningMs = slotMs
    slot.isTimed = timeoutMs > 0
  }
  return { type: 'execute', processor: record.id, calls: [call] }
}

function send({ job, spec, attempt }: TaskState, { record, peer }: ProcessorState): Effect {
  const { no, operation, args, options } = spec
  const assignment: Assignment = {
    no,
    attempt,
    processor: record.id,
    operation,
    args,
    inputs: noInputs,
    timeoutMs: options.timeoutMs,
  }
  const message = { type: 'assign', job: job.id, epoch: job.claim.epoch, tasks: [assignment] } as const
  return { type: 'send', to: peer.id, message }
}

function endLone(state: SchedulerState, { ended }: EventOf<'calls-ended'>): Effect[] | null {
  const end = ended[0]
  if (end === undefined || ended.length > 1 || end.outcome.status !== 'done') return null
  const { value } = end.outcome
  const held = state.executor.calls.get(end.callId)
  if (held === undefined || held.phase !== 'running' || held.isYielded) return null
  if (value instanceof ChunkPayload || innerChunks(value).length > 0) return null
  const { call } = held
  const job = state.jobs.get(call.job)
  const known = state.executor.jobs.get(call.job)
  const task = job?.tasks[call.no]
  if (job === undefined || known === undefined || task === undefined) return null
  if (!isOpen(state, job, known) || known.held.get(call.attempt) !== held) return null
  const { processor } = task
  if (processor === null || !isLone(task, call.attempt) || !canIdle(state, processor)) return null

  state.executor.calls.delete(end.callId)
  known.held.delete(call.attempt)
  freeSlot(held)
  learnRunMs(state, call.operation, end.ranMs, 1)
  observeRun(state, call.operation, processor.record, end.ranMs, 1)
  processor.peer.tasksDone++
  processor.assigned.delete(task)
  processor.queuedMs = 0
  const outcome: Outcome = { status: 'done', value, processor: processor.record.id }
  task.unfed = 0
  task.processor = null
  task.isRevoking = false
  task.status = 'done'
  task.outcome = outcome
  task.outcomeEpoch = job.claim.epoch
  task.outcomeBy = state.self
  job.done++
  state.story.add(state.now, task, 'done')
  return effectsOfEnd(state, task, outcome)
}

function effectsOfEnd({ isReplicated, self }: SchedulerState, task: TaskState, outcome: Outcome): Effect[] {
  const { job, spec } = task
  const effects: Effect[] = []
  if (isReplicated) {
    const outcomes = [{ no: spec.no, outcome }]
    const record = { type: 'outcomes', job: job.id, by: self, epoch: job.claim.epoch, outcomes } as const
    effects.push({ type: 'write', records: [record] })
  }
  if (task.isWatched)
    effects.push({ type: 'settle', outcomes: [{ ref: { job: job.id, no: spec.no }, outcome }] })
  return effects
}

/** A job owned and run here to which tasks may still be added: it does not end with this one. */
function isOpen(state: SchedulerState, job: JobState, known: ExecutorJob): boolean {
  if (!job.isMine || job.isSealed || job.creator !== state.self || job.claim.epoch > 1) return false
  return known.owner === state.self && job.remakes.size === 0 && !isInDoubt(state)
}

/** Its present attempt ended, and nothing but its own record and its user's handle has to hear of it. */
function isLone(task: TaskState, attempt: number): boolean {
  if (task.status !== 'assigned' || task.attempt !== attempt || task.count > 1) return false
  if (task.dependents !== null || task.watchers !== null || task.chunks !== null) return false
  return (
    task.losses === null && task.outcomeBy === null && task.spec.parent === null && task.openChildren === 0
  )
}

/** With the task gone the processor has nothing, and there is nothing that it could take from others. */
function canIdle(state: SchedulerState, processor: ProcessorState): boolean {
  if (processor.peer.id !== state.self || processor.isClosing || processor.assigned.size > 1) return false
  const { executor } = state
  if (executor.submitting.size > 0) return false
  const queue = executor.processors.get(processor.record.id)?.queue
  if (queue === undefined || queue.size > 0) return false
  for (const other of state.processors.values()) if (other.assigned.size > 1) return false
  return true
}
