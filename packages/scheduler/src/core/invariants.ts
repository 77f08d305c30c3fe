import { assert } from '../model/errors.ts'
import { taskIdOf } from '../model/ids.ts'
import type { ExecutorProcessor } from './executor-state.ts'
import { assertServices } from './services/invariants.ts'
import { type JobState, refOf, type SchedulerState, type TaskState, tasksOf } from './state.ts'

/**
 * Re-derives everything that the state keeps twice and compares. For tests, after every step.
 * @throws ShoalError `E_INVARIANT`
 */
export function assertInvariants(state: SchedulerState): void {
  const inLanes = new Set<TaskState>()
  for (const lane of state.lanes) for (const task of lane.queue) inLanes.add(task)
  for (const job of state.jobs.values()) {
    checkCounts(job)
    for (const task of tasksOf(job)) {
      checkTask(state, task, inLanes)
      checkSlice(job, task)
    }
  }
  checkProcessors(state)
  checkExecutor(state)
  assertServices(state.services)
}

function checkCounts(job: JobState): void {
  const counts = { total: 0, done: 0, failed: 0, cancelled: 0 }
  for (const task of tasksOf(job)) {
    counts.total += task.count
    if (task.status === 'done' || task.status === 'failed' || task.status === 'cancelled')
      counts[task.status] += task.count
  }
  for (const name of ['total', 'done', 'failed', 'cancelled'] as const) {
    assert(counts[name] === job[name], `Job "${job.id}" counts ${job[name]} ${name} but has ${counts[name]}`)
  }
}

function checkSlice(job: JobState, task: TaskState): void {
  if (task.items === null) return
  assert(
    task.count > 1 && task.count === task.items.count,
    `Slice "${taskIdOf(refOf(task))}" has ${task.count}`,
  )
  for (let no = task.spec.no; no < task.spec.no + task.count; no++)
    assert(job.tasks[no] === task, `Slice "${taskIdOf(refOf(task))}" does not stand at ${no}`)
}

function checkTask(state: SchedulerState, task: TaskState, inLanes: ReadonlySet<TaskState>): void {
  const id = taskIdOf(refOf(task))
  const isFinal = task.status === 'done' || task.status === 'failed' || task.status === 'cancelled'
  assert(
    isFinal === (task.outcome !== null),
    `Task "${id}" is ${task.status} but has outcome ${task.outcome?.status}`,
  )
  assert(
    (task.processor !== null) === (task.status === 'assigned'),
    `Task "${id}" is ${task.status} but has a processor`,
  )
  if (task.status === 'ready') assert(inLanes.has(task), `Task "${id}" is ready but in no lane`)
  if (!task.job.isMine)
    assert(isFinal || task.status === 'waiting', `Task "${id}" of another owner is ${task.status}`)
  if (task.processor === null) return
  assert(task.processor.assigned.has(task), `Task "${id}" is not in its processor's list`)
  const known = state.processors.get(task.processor.record.id)
  assert(known === task.processor, `Task "${id}" is assigned to a processor that is gone`)
}

function checkProcessors(state: SchedulerState): void {
  for (const processor of state.processors.values()) {
    const { id } = processor.record
    assert(
      state.peers.get(processor.peer.id) === processor.peer,
      `Processor "${id}" belongs to a peer that is gone`,
    )
    let queuedMs = 0
    let waiting = 0
    for (const task of processor.assigned) {
      assert(task.processor === processor, `Processor "${id}" lists a task that is elsewhere`)
      if (task.openChildren === 0) queuedMs += task.estimateMs
      else waiting++
    }
    assert(
      waiting === processor.waiting,
      `Processor "${id}" counts ${processor.waiting} waiting but has ${waiting}`,
    )
    const drift = Math.abs(queuedMs - processor.queuedMs)
    assert(
      drift < 1e-3 * Math.max(1, queuedMs),
      `Processor "${id}" counts ${processor.queuedMs} ms but has ${queuedMs}`,
    )
  }
}

function checkExecutor(state: SchedulerState): void {
  const running = new Map<ExecutorProcessor | null, number>()
  for (const [callId, held] of state.executor.calls) {
    assert(held.call.callId === callId, `Call ${callId} is filed under another number`)
    if (!held.isYielded && held.phase === 'running') running.set(held.slot, (running.get(held.slot) ?? 0) + 1)
  }
  for (const [id, processor] of state.executor.processors) {
    const count = running.get(processor) ?? 0
    assert(
      processor.running === count,
      `Processor "${id}" counts ${processor.running} running calls but has ${count}`,
    )
  }
}
