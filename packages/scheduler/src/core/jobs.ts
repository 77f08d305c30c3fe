import type { Claim } from '../model/claim.ts'
import { errorRecord } from '../model/errors.ts'
import { type JobId, nestedBase, type PeerId, taskIdOf } from '../model/ids.ts'
import type { RangeItems } from '../model/payload.ts'
import { noNeeds, type RangeSpec, type TaskSpec } from '../model/task.ts'
import { hash32 } from '../policy/own.ts'
import { needSpecChunks } from './chunks.ts'
import type { StepContext } from './context.ts'
import { feed } from './ended.ts'
import { covers } from './slices.ts'
import { findTask, isFinal, type JobState, refOf, TaskState, taskAt } from './state.ts'
import { makeEnded, makeReady, makeWaiting } from './transitions.ts'

/** Numbers that one claim has for its attempts, and for the tasks that bodies spawn under it. */
const numbersPerClaim = 2 ** 22

/**
 * Where the numbers of a claim start. Both sides of a partition may claim the same epoch: the peer's
 * hash keeps their numbers apart, so that one attempt or child is never taken for another.
 */
export function firstNumberOf(claim: Claim): number {
  if (claim.epoch <= 1) return 2 ** 20
  return (claim.epoch * 2 ** 20 + (hash32(claim.peer) >>> 12)) * numbersPerClaim
}

export function openJob(ctx: StepContext, id: JobId, name: string, creator: PeerId): JobState {
  const isMine = creator === ctx.state.self
  const job: JobState = {
    id,
    name,
    creator,
    claim: { peer: creator, epoch: 1 },
    isMine,
    isOrphaned: false,
    isAdopting: false,
    adoptPending: new Set(),
    isSealed: false,
    isEnded: false,
    tasks: [],
    nested: new Map(),
    children: new Map(),
    remakes: new Map(),
    total: 0,
    done: 0,
    failed: 0,
    cancelled: 0,
    nextAttempt: firstNumberOf({ peer: creator, epoch: 1 }),
    nextNested: nestedBase,
  }
  ctx.state.jobs.set(id, job)
  ctx.emit({ type: 'notify', notice: { type: 'job-opened', job: id, name } })
  return job
}

/** Adds a task or a whole range to a job, once. Gives `null` when it was there already. */
export function addTask(
  ctx: StepContext,
  job: JobState,
  spec: TaskSpec,
  items: RangeItems | null = null,
): TaskState | null {
  if (taskAt(job, spec.no) !== undefined) return null
  const task = new TaskState(job, spec, items)
  if (spec.no >= nestedBase) job.nested.set(spec.no, task)
  else if (items === null) job.tasks[spec.no] = task
  else {
    job.tasks.length = Math.max(job.tasks.length, spec.no + task.count)
    job.tasks.fill(task, spec.no, spec.no + task.count)
  }
  job.total += task.count
  if (spec.parent !== null) job.children.set(childKey(spec.parent.attempt, spec.parent.seq), spec.no)
  const watched = ctx.state.foreignWatches.get(job.id)
  if (watched !== undefined)
    for (let no = spec.no; no < spec.no + task.count; no++) if (watched.delete(no)) task.isWatched = true
  needSpecChunks(ctx, task)
  adoptOrphans(ctx, task)
  return task
}

/** Adds those tasks of a range that are not known: others may have cut it otherwise. */
export function addRange(ctx: StepContext, job: JobState, range: RangeSpec): TaskState[] {
  const { first, operation, options, items } = range
  const added: TaskState[] = []
  for (let from = 0; from < items.count; from++) {
    let to = from
    while (to < items.count && job.tasks[first + to] === undefined) to++
    if (to === from) continue
    const spec = { no: first + from, operation, args: items.at(from), needs: noNeeds, options, parent: null }
    const part = to - from === items.count ? items : items.slice(from, to)
    const task = addTask(ctx, job, spec, part.count === 1 ? null : part)
    if (task !== null) added.push(task)
    from = to
  }
  return added
}

export function childKey(attempt: number, seq: number): string {
  return `${attempt}:${seq}`
}

/** Links tasks of jobs owned here that waited for a task nobody knew. */
function adoptOrphans(ctx: StepContext, task: TaskState): void {
  const orphans = ctx.state.orphans.get(task.job.id)
  if (orphans === undefined) return
  const rest = orphans.filter((orphan) => !covers(task, orphan.no))
  for (const { no, dependent } of orphans) {
    if (!covers(task, no)) continue
    if (task.dependents?.includes(dependent) === true) dependent.pendingNeeds--
    else addDependent(task, dependent)
  }
  if (rest.length === 0) ctx.state.orphans.delete(task.job.id)
  else ctx.state.orphans.set(task.job.id, rest)
}

function addDependent(task: TaskState, dependent: TaskState): void {
  if (task.dependents === null) task.dependents = [dependent]
  else task.dependents.push(dependent)
}

/** `pendingNeeds` of a task that was adopted while it ran: its inputs were never gathered here. */
export const unresolved: number = -1

/** Puts a task that was given away back in front, gathering its inputs first where that is still to do. */
export function requeue(ctx: StepContext, task: TaskState, why: string): void {
  if (task.pendingNeeds === 0) {
    makeReady(ctx, task, 'front', why)
    return
  }
  makeWaiting(ctx, task, why)
  resolveNeeds(ctx, task)
}

/** A cycle needs a task that comes after what needs it: checked only then, as every handle is made before its use. */
function mayCloseCycle({ job, spec, dependents }: TaskState): boolean {
  return dependents !== null || spec.needs.some(({ task }) => task.job === job.id && task.no >= spec.no)
}

function needsItself(ctx: StepContext, task: TaskState): boolean {
  const seen = new Set<TaskState>()
  const open = [task]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const need of at.spec.needs) {
      const input = findTask(ctx.state, need.task)
      if (input === task) return true
      if (input === undefined || isFinal(input.status) || seen.has(input)) continue
      seen.add(input)
      open.push(input)
    }
  }
  return false
}

function failCycle(ctx: StepContext, task: TaskState): void {
  const text = `Cannot run task "${taskIdOf(refOf(task))}" as it needs its own outcome, through its inputs`
  const error = errorRecord('E_CYCLE', text)
  makeEnded(ctx, task, { status: 'failed', error, origin: refOf(task), attempts: 0, peer: null })
}

/** Counts a task's open inputs and hooks it to them; ready at once when there are none. */
export function resolveNeeds(ctx: StepContext, task: TaskState): void {
  const needs = task.spec.needs
  task.pendingNeeds = 0
  task.inputs = null
  if (needs.length === 0) {
    makeReady(ctx, task)
    return
  }
  if (mayCloseCycle(task) && needsItself(ctx, task)) {
    failCycle(ctx, task)
    return
  }
  const inputs = new Set<TaskState>()
  const missing: { job: JobId; no: number }[] = []
  for (const need of needs) {
    const input = findTask(ctx.state, need.task)
    if (input !== undefined) inputs.add(input)
    else if (!missing.some((ref) => ref.job === need.task.job && ref.no === need.task.no))
      missing.push(need.task)
  }
  task.pendingNeeds = inputs.size + missing.length
  const isHooked = task.isHooked
  task.isHooked = true
  for (const ref of missing) if (!isHooked) waitForUnknown(ctx, ref.job, ref.no, task)
  for (const input of inputs) {
    if (input.outcome !== null) feed(ctx, task, input)
    else if (!isHooked) addDependent(input, task)
  }
}

function waitForUnknown(ctx: StepContext, job: JobId, no: number, dependent: TaskState): void {
  const orphans = ctx.state.orphans.get(job)
  if (orphans === undefined) ctx.state.orphans.set(job, [{ no, dependent }])
  else orphans.push({ no, dependent })
  ctx.state.timers.arm(ctx.state.now + ctx.state.config.noProcessorMs, { type: 'orphan', job })
}
