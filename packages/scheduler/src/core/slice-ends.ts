import { assert } from '../model/errors.ts'
import type { PeerId } from '../model/ids.ts'
import type { AttemptResult, SliceOutcome } from '../model/message.ts'
import { dissolveLost, endAttempt } from './attempts.ts'
import type { StepContext } from './context.ts'
import { requeue } from './jobs.ts'
import { dissolve, isolate, split, valueAt } from './slices.ts'
import type { ProcessorState, TaskState } from './state.ts'
import { makeAssigned, makeEnded, makeWaiting } from './transitions.ts'

/** Cuts `count` tasks out of a slice; where that is owned here the others are placed again. */
export function takeOut(ctx: StepContext, slice: TaskState, no: number, count: number): TaskState {
  const { job } = slice
  stopSlice(ctx, slice)
  const { part, others } = isolate(slice, no, count)
  if (job.isMine && !job.isAdopting) for (const other of others.toReversed()) requeue(ctx, other, 'cut')
  return part
}

/** Nobody has it any more: it stands still and can be cut. */
function stopSlice(ctx: StepContext, slice: TaskState): void {
  const { processor, attempt, job } = slice
  if (processor !== null)
    ctx.attempt('abort', processor.peer.id, job.id, job.claim.epoch, { no: slice.spec.no, attempt })
  makeWaiting(ctx, slice, 'cut')
}

/**
 * An attempt of a slice ended on `from`.
 * @param task what is open of it here: all of it, unless this successor of its owner has cut it otherwise
 * @param processor `null`: the attempt was another owner's
 */
export function endPiece(
  ctx: StepContext,
  task: TaskState,
  from: PeerId,
  processor: ProcessorState | null,
  result: AttemptResult,
): void {
  const { outcome } = result
  if (outcome.status === 'sliced') endSlice(ctx, task, from, processor, result, outcome)
  else if (outcome.status === 'failed' || outcome.status === 'unfed')
    failSlice(ctx, task, from, processor, result)
  // A value of its own is no answer either.
  else if (task.status === 'assigned') dissolveLost(ctx, task, outcome.status)
}

/** What ran has ended, and what has not started goes back. An item that is told apart is a task of its own from here on. */
function endSlice(
  ctx: StepContext,
  task: TaskState,
  from: PeerId,
  processor: ProcessorState | null,
  { no, attempt, ranMs }: AttemptResult,
  { values, apart }: SliceOutcome,
): void {
  const first = task.spec.no - no
  const ran = Math.max(0, Math.min(task.count, values.count - first))
  const singles = new Map(apart.map(({ index, outcome }) => [no + index, outcome]))
  const itemMs = ranMs / values.count
  if (processor !== null && ran > singles.size) {
    ctx.ran(task.spec.operation, processor.record, itemMs * (ran - singles.size), ran - singles.size)
    processor.peer.tasksDone += ran - singles.size
  }
  for (const piece of piecesOf(ctx, task, ran, singles)) {
    const index = piece.spec.no - no
    const single = singles.get(piece.spec.no)
    if (index - first >= ran) {
      if (!piece.job.isAdopting) requeue(ctx, piece, 'not started')
    } else if (single === undefined) {
      const value = valueAt(values, index, piece.count)
      makeEnded(ctx, piece, { status: 'done', value, processor: processor?.record.id ?? null })
    } else {
      if (processor !== null && piece.status !== 'assigned') makeAssigned(ctx, piece, processor, attempt, 0)
      endAttempt(ctx, piece, from, processor, { attempt, outcome: single, ranMs: itemMs })
    }
  }
}

/** The slice, cut where the first `ran` of its items end and around each single one. */
function piecesOf(
  ctx: StepContext,
  task: TaskState,
  ran: number,
  singles: ReadonlyMap<number, unknown>,
): readonly TaskState[] {
  const ends = new Set([task.count])
  if (ran > 0) ends.add(ran)
  for (const no of singles.keys()) {
    const index = no - task.spec.no
    if (index < 0 || index >= ran) continue
    if (index > 0) ends.add(index)
    ends.add(index + 1)
  }
  if (ends.size === 1) return [task]
  makeWaiting(ctx, task, 'cut')
  const cuts = [...ends].sort((left, right) => left - right)
  return split(
    task,
    cuts.map((end, at) => end - (cuts[at - 1] ?? 0)),
  )
}

/** None of its items could run: each fails as it would alone. */
function failSlice(
  ctx: StepContext,
  slice: TaskState,
  from: PeerId,
  processor: ProcessorState | null,
  { attempt, outcome, ranMs }: AttemptResult,
): void {
  assert(outcome.status !== 'sliced', 'Cannot fail a slice that ran')
  makeWaiting(ctx, slice, 'cut')
  for (const task of slice.count === 1 ? [slice] : dissolve(slice)) {
    if (processor !== null) makeAssigned(ctx, task, processor, attempt, 0)
    endAttempt(ctx, task, from, processor, { attempt, outcome, ranMs })
  }
}
