import { ChunkPayload, innerChunks } from '../model/chunk.ts'
import { errorRecord } from '../model/errors.ts'
import { type TaskRef, taskIdOf } from '../model/ids.ts'
import type { Outcome } from '../model/task.ts'
import { endRemake, needChunk, noteResultChunk, unneedChunks } from './chunks.ts'
import type { StepContext } from './context.ts'
import { covers, eachOutcome, outcomeAt } from './slices.ts'
import { isFinal, type JobState, refOf, type TaskState } from './state.ts'
import { makeEnded, makeReady } from './transitions.ts'

/** Carries each ended task's outcome to documents, watchers and dependents, in a loop, not recursively. */
export function settleEnded(ctx: StepContext): void {
  let last: JobState | null = null
  // Grows while it is read.
  for (let at = 0; at < ctx.ended.length; at++) {
    const task = ctx.ended[at] as TaskState
    const outcome = task.outcome as Outcome
    if (task.remakes !== null) {
      endRemake(ctx, task, outcome)
      continue
    }
    noteResultChunk(ctx, task.job, outcome)
    if (task.job.isMine && task.outcomeBy === null) {
      task.outcomeEpoch = task.job.claim.epoch
      task.outcomeBy = ctx.state.self
      const { no } = task.spec
      ctx.writeOutcome(task.job, task.count === 1 ? { no, outcome } : { no, count: task.count, outcome })
    }
    tellEnd(ctx, task, outcome)
    const dependents = task.dependents
    task.dependents = null
    if (dependents !== null) for (const dependent of dependents) feed(ctx, dependent, task)
    // Only now: a dependent may need what this task did.
    if (task.chunks !== null) unneedChunks(ctx, task)
    // Once for each run of tasks of one job, which is nearly always once.
    if (last !== null && last !== task.job) endJobIfComplete(ctx, last)
    last = task.job
  }
  ctx.ended.length = 0
  if (last !== null) endJobIfComplete(ctx, last)
}

/** Tells everybody who asked how a task, or those of a slice, ended. */
export function tellEnd(ctx: StepContext, task: TaskState, outcome: Outcome): void {
  const ref = refOf(task)
  if (task.isWatched) ctx.settle(ref, task.count, outcome)
  if (task.watchers !== null) {
    for (const peer of task.watchers)
      eachOutcome(task, (no, one) => ctx.tellWatcher(peer, ref.job, { no, outcome: one }))
    task.watchers = null
  }
  if (!ctx.state.wantsTaskNotices) return
  if (task.count === 1) notifyEnd(ctx, ref, outcome)
  else eachOutcome(task, (no, one) => notifyEnd(ctx, { job: ref.job, no }, one))
}

function notifyEnd(ctx: StepContext, ref: TaskRef, outcome: Outcome): void {
  const type =
    outcome.status === 'done' ? 'task-done' : outcome.status === 'failed' ? 'task-failed' : 'task-cancelled'
  const processor = outcome.status === 'done' ? outcome.processor : null
  ctx.emit({ type: 'notify', notice: { type, task: ref, peer: null, processor } })
}

/** Gives an ended input to a task that waits for it; a bad input ends it at once. */
export function feed(ctx: StepContext, dependent: TaskState, input: TaskState): void {
  if (isFinal(dependent.status) || !dependent.job.isMine || dependent.status !== 'waiting') return
  for (const { index, task: ref } of dependent.spec.needs) {
    if (ref.job !== input.job.id || !covers(input, ref.no)) continue
    const outcome = outcomeAt(input, ref.no) as Outcome
    if (outcome.status !== 'done') {
      makeEnded(ctx, dependent, outcomeOfBadInput(ref, outcome))
      return
    }
    if (index < 0) continue
    dependent.inputs ??= []
    dependent.inputs.push({ index, value: outcome.value })
    if (outcome.value instanceof ChunkPayload) needChunk(ctx, dependent, outcome.value)
    else for (const chunk of innerChunks(outcome.value)) needChunk(ctx, dependent, chunk)
  }
  dependent.pendingNeeds--
  if (dependent.pendingNeeds === 0 && !dependent.job.isAdopting) makeReady(ctx, dependent)
}

function outcomeOfBadInput(origin: TaskRef, outcome: Exclude<Outcome, { status: 'done' }>): Outcome {
  if (outcome.status === 'failed') return outcome
  const error = errorRecord(
    'E_CANCELLED',
    `Cannot run a task as its input "${taskIdOf(origin)}" was cancelled: ${outcome.reason}`,
  )
  return { status: 'failed', error, origin, attempts: 0, peer: null }
}

/** Ends a job whose tasks have all ended and to which nobody can add. */
export function endJobIfComplete(ctx: StepContext, job: JobState): void {
  if (!job.isMine || job.isEnded || job.isAdopting) return
  // A successor adds nothing; nor does a later start of the creator, which has its job by a new claim.
  const isClosed = job.isSealed || job.creator !== ctx.state.self || job.claim.epoch > 1
  if (!isClosed || job.done + job.failed + job.cancelled < job.total) return
  job.isEnded = true
  ctx.write({ type: 'ended', by: ctx.state.self, job: job.id })
  ctx.emit({ type: 'notify', notice: { type: 'job-ended', job: job.id, name: job.name } })
  armDrop(ctx, job)
}

/** Plans the forgetting of an ended job: at once where nobody else could ask for it. */
export function armDrop(ctx: StepContext, job: JobState): void {
  const lingerMs = ctx.state.isReplicated ? ctx.state.config.lingerMs : 0
  ctx.state.timers.arm(ctx.state.now + lingerMs, { type: 'drop-job', job: job.id })
}
