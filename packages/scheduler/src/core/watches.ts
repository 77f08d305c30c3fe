import { errorRecord } from '../model/errors.ts'
import { type JobId, type PeerId, type TaskRef, taskIdOf } from '../model/ids.ts'
import type { MessageOf } from '../model/message.ts'
import type { OutcomeRecord } from '../model/records.ts'
import type { Outcome } from '../model/task.ts'
import type { StepContext } from './context.ts'
import type { EventOf } from './events.ts'
import { outcomeAt } from './slices.ts'
import { findTask, taskAt } from './state.ts'

export function onTasksWatched(ctx: StepContext, event: EventOf<'tasks-watched'>): void {
  const asked = new Map<PeerId, Map<JobId, number[]>>()
  const unknown = new Map<JobId, number[]>()
  for (const ref of event.refs) {
    const task = findTask(ctx.state, ref)
    if (task !== undefined) {
      // Watched on after its end, too: the heal of a partition may correct it.
      task.isWatched = true
      const outcome = outcomeAt(task, ref.no)
      if (outcome !== null) ctx.settle(ref, 1, outcome)
      continue
    }
    const nos = ctx.state.foreignWatches.get(ref.job) ?? new Set<number>()
    ctx.state.foreignWatches.set(ref.job, nos.add(ref.no))
    unknown.set(ref.job, [...(unknown.get(ref.job) ?? []), ref.no])
    const owner = ctx.state.executor.jobs.get(ref.job)?.owner
    if (owner === undefined) continue
    const jobs = asked.get(owner) ?? new Map()
    asked.set(owner, jobs.set(ref.job, [...(jobs.get(ref.job) ?? []), ref.no]))
  }
  for (const [owner, jobs] of asked)
    for (const [job, nos] of jobs) ctx.send(owner, { type: 'watch', job, nos })
  for (const [job, nos] of unknown) {
    if (ctx.state.tombstones.has(job)) forgetWatches(ctx, job, nos)
    else armUnknown(ctx, job, nos)
  }
}

function armUnknown(ctx: StepContext, job: JobId, nos: readonly number[]): void {
  ctx.state.timers.arm(ctx.state.now + ctx.state.config.lingerMs, { type: 'unknown', job, nos })
}

/** Watched for long: what is neither known by now, nor of a job that runs here for somebody, will not come. */
export function onUnknownDue(ctx: StepContext, job: JobId, nos: readonly number[]): void {
  const { foreignWatches, jobs, executor } = ctx.state
  const open = nos.filter((no) => foreignWatches.get(job)?.has(no) === true)
  // A job that is known may still get the task; with the job its watches go, too.
  if (open.length === 0 || jobs.has(job)) return
  if (executor.jobs.has(job)) armUnknown(ctx, job, open)
  else forgetWatches(ctx, job, open)
}

function forgetWatches(ctx: StepContext, job: JobId, nos: readonly number[]): void {
  failWatches(ctx, job, nos)
  ctx.emit({ type: 'notify', notice: { type: 'job-dropped', job, name: 'job' } })
}

/** Ends the watches of tasks that nobody will tell of. */
export function failWatches(ctx: StepContext, job: JobId, nos: readonly number[]): void {
  const watched = ctx.state.foreignWatches.get(job)
  for (const no of nos) {
    if (watched?.delete(no) === true) ctx.settle({ job, no }, 1, unknownTask({ job, no }))
  }
  if (watched?.size === 0) ctx.state.foreignWatches.delete(job)
}

function unknownTask(ref: TaskRef): Outcome {
  const error = errorRecord(
    'E_NO_TASK',
    `Cannot tell how task "${taskIdOf(ref)}" ended as no peer here knows it: a job is forgotten 60 s after its end`,
  )
  return { status: 'failed', error, origin: ref, attempts: 0, peer: null }
}

export function onWatch(ctx: StepContext, from: PeerId, message: MessageOf<'watch'>): void {
  const job = ctx.state.jobs.get(message.job)
  if (job === undefined) {
    if (!ctx.state.tombstones.has(message.job)) return
    for (const no of message.nos)
      ctx.tellWatcher(from, message.job, { no, outcome: unknownTask({ job: message.job, no }) })
    return
  }
  for (const no of message.nos) {
    const task = taskAt(job, no)
    if (task === undefined) continue
    const outcome = outcomeAt(task, no)
    if (outcome !== null) ctx.tellWatcher(from, job.id, { no, outcome })
    else if (task.watchers === null) task.watchers = [from]
    else if (!task.watchers.includes(from)) task.watchers.push(from)
  }
}

/** The owner's answer to `watch`. */
export function onOutcomes(ctx: StepContext, message: MessageOf<'outcomes'>): void {
  const nos = ctx.state.foreignWatches.get(message.job)
  if (nos === undefined) return
  for (const { no, outcome } of message.outcomes as readonly OutcomeRecord[]) {
    if (nos.delete(no)) ctx.settle({ job: message.job, no }, 1, outcome)
  }
  if (nos.size === 0) ctx.state.foreignWatches.delete(message.job)
}

/** Repeats what nobody has answered; gives whether something is still open. */
export function auditWatches(ctx: StepContext): boolean {
  for (const [job, nos] of ctx.state.foreignWatches) {
    const owner = ctx.state.executor.jobs.get(job)?.owner
    if (owner !== undefined && owner !== ctx.state.self)
      ctx.send(owner, { type: 'watch', job, nos: [...nos] })
  }
  return ctx.state.foreignWatches.size > 0
}
