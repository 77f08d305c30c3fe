import { assert } from '../model/errors.ts'
import type { Payload, RangeItems, RangeValues } from '../model/payload.ts'
import type { Outcome, TaskSpec } from '../model/task.ts'
import { type JobState, TaskState, taskAt } from './state.ts'

/*
 * Theory of operation. A range is submitted as one slice that covers it all. Whoever has credit gets the
 * front of it, cut off as a slice of its own: the unit of assignment, result and requeue. Whatever concerns
 * some of its items only cuts it further, down to single tasks, which are ordinary in every respect: so
 * retries, quarantine and corrections know nothing of slices. Each peer cuts as it needs: what others say of a
 * slice is a word about numbers, and meets whatever stands at them here.
 */

/** The specification of one item, as that of a single task. */
function itemSpec(task: TaskState, index: number): TaskSpec {
  return { ...task.spec, no: task.spec.no + index, args: (task.items as RangeItems).at(index) }
}

/** The specifications of all its tasks. */
export function specsOf(task: TaskState): TaskSpec[] {
  if (task.items === null) return [task.spec]
  return Array.from({ length: task.count }, (_, index) => itemSpec(task, index))
}

export function covers(task: TaskState, no: number): boolean {
  return no >= task.spec.no && no < task.spec.no + task.count
}

/** How the task of that number ended; `null`: it has not. */
export function outcomeAt(task: TaskState, no: number): Outcome | null {
  const { outcome } = task
  if (task.items === null || outcome?.status !== 'done') return outcome
  return { ...outcome, value: (outcome.value as RangeValues).at(no - task.spec.no) }
}

/** Calls back with each of its tasks' numbers and outcomes. */
export function eachOutcome(task: TaskState, tell: (no: number, outcome: Outcome) => void): void {
  const { no } = task.spec
  for (let at = no; at < no + task.count; at++) tell(at, outcomeAt(task, at) as Outcome)
}

/**
 * Cuts a slice into pieces of these sizes, which take its place and stand where it stood. One that is
 * `ready` has to be put into its lane by the caller.
 */
export function split(task: TaskState, counts: readonly number[]): TaskState[] {
  assert(task.status !== 'assigned', 'Cannot cut a slice that is assigned')
  const pieces: TaskState[] = []
  let from = 0
  for (const count of counts) {
    if (count === 0) continue
    pieces.push(pieceOf(task, from, count))
    from += count
  }
  assert(from === task.count, `Cannot cut a slice of ${task.count} into ${from}`)
  if (task.dependents !== null) for (const dependent of task.dependents) hookTo(pieces, dependent)
  // It may still stand in a lane, where only its pieces count now.
  task.status = 'waiting'
  return pieces
}

/** Cuts out `count` of its tasks, from `no` on. The others are given, too. */
export function isolate(
  task: TaskState,
  no: number,
  count: number,
): { part: TaskState; others: readonly TaskState[] } {
  const before = no - task.spec.no
  const pieces = split(task, [before, count, task.count - before - count])
  const [part] = pieces.splice(before === 0 ? 0 : 1, 1)
  return { part: part as TaskState, others: pieces }
}

/**
 * What stands at these numbers, cut so that it begins and ends with them. An assigned slice that reaches beyond
 * them stays whole, and is left out. For jobs in which nothing is ready.
 */
export function carve(job: JobState, first: number, count: number): TaskState[] {
  const end = first + count
  return standingAt(job, first, count).flatMap((task) => {
    const from = Math.max(first, task.spec.no)
    const until = Math.min(end, task.spec.no + task.count)
    if (until - from === task.count) return [task]
    return task.status === 'assigned' ? [] : [isolate(task, from, until - from).part]
  })
}

/** The tasks and slices that have one of these numbers. */
export function standingAt(job: JobState, first: number, count: number): TaskState[] {
  const found: TaskState[] = []
  for (let no = first; no < first + count; no++) {
    const task = taskAt(job, no)
    if (task === undefined) continue
    found.push(task)
    no = task.spec.no + task.count - 1
  }
  return found
}

/** Cuts a slice into its tasks. */
export function dissolve(task: TaskState): TaskState[] {
  return split(
    task,
    Array.from({ length: task.count }, () => 1),
  )
}

function pieceOf(task: TaskState, from: number, count: number): TaskState {
  const { job, spec } = task
  const no = spec.no + from
  const piece =
    count === 1
      ? new TaskState(job, itemSpec(task, from), null)
      : new TaskState(job, { ...spec, no }, (task.items as RangeItems).slice(from, from + count))
  piece.status = task.status
  piece.outcome = task.outcome === null ? null : partOf(task.outcome, task.count, from, count)
  piece.outcomeEpoch = task.outcomeEpoch
  piece.outcomeBy = task.outcomeBy
  piece.isWatched = task.isWatched
  piece.watchers = task.watchers === null ? null : [...task.watchers]
  piece.refusals = task.refusals
  job.tasks.fill(piece, no, no + count)
  return piece
}

/** How `count` of `total` tasks ended that ended together. */
export function partOf(outcome: Outcome, total: number, from: number, count: number): Outcome {
  if (outcome.status !== 'done' || count === total) return outcome
  return { ...outcome, value: valueAt(outcome.value as RangeValues, from, count) }
}

/** The value of one task, or those of several. */
export function valueAt(values: RangeValues, from: number, count: number): Payload {
  if (count === 1) return values.at(from)
  return count === values.count ? values : values.slice(from, from + count)
}

/** What waited for the slice waits for those pieces of it that it needs. */
function hookTo(pieces: readonly TaskState[], dependent: TaskState): void {
  const { needs } = dependent.spec
  // Otherwise they are counted when they are resolved.
  const isCounted = dependent.pendingNeeds > 0
  if (isCounted) dependent.pendingNeeds--
  for (const piece of pieces) {
    if (!needs.some(({ task }) => task.job === piece.job.id && covers(piece, task.no))) continue
    if (isCounted) dependent.pendingNeeds++
    if (piece.dependents === null) piece.dependents = [dependent]
    else piece.dependents.push(dependent)
  }
}
