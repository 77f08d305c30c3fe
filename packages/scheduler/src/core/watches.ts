import type { PeerId } from '../model/ids.ts'
import type { MessageOf } from '../model/message.ts'
import type { OutcomeRecord } from '../model/records.ts'
import type { StepContext } from './context.ts'
import type { EventOf } from './events.ts'
import { outcomeAt } from './slices.ts'
import { findTask, taskAt } from './state.ts'

export function onTasksWatched(ctx: StepContext, event: EventOf<'tasks-watched'>): void {
  const asked = new Map<PeerId, Map<EventOf<'tasks-watched'>['refs'][number]['job'], number[]>>()
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
    const owner = ctx.state.executor.jobs.get(ref.job)?.owner
    if (owner === undefined) continue
    const jobs = asked.get(owner) ?? new Map()
    asked.set(owner, jobs.set(ref.job, [...(jobs.get(ref.job) ?? []), ref.no]))
  }
  for (const [owner, jobs] of asked)
    for (const [job, nos] of jobs) ctx.send(owner, { type: 'watch', job, nos })
}

export function onWatch(ctx: StepContext, from: PeerId, message: MessageOf<'watch'>): void {
  const job = ctx.state.jobs.get(message.job)
  if (job === undefined) return
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
