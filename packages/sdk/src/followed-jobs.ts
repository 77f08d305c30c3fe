import { type JobId, type Notice, nestedBase, type Runtime } from '@shoal/scheduler'
import type { TaskInterest } from './interest.ts'
import type { GroupHandle } from './task-group.ts'

/** Jobs that others may still add to, and who follows them here. */
export interface FollowedJobs {
  /** The group grows with its job, and is complete when the job has ended. */
  add(job: JobId, group: GroupHandle<unknown>): void
  close(): void
}

/** The followers of a job that may still grow. */
interface OpenJob {
  readonly groups: Set<GroupHandle<unknown>>
  readonly loseInterest: () => void
}

export function followJobs(parts: {
  readonly runtime: Runtime
  readonly interest: TaskInterest
}): FollowedJobs {
  const { runtime, interest } = parts
  const open = new Map<JobId, OpenJob>()
  const stale = new Set<JobId>()

  /** Looks for tasks that were added to a job that is followed here. */
  const refresh = (job: JobId, isDropped: boolean): void => {
    const followed = open.get(job)
    if (followed === undefined) return
    const nos = runtime.tasksOf(job).flatMap(({ no }) => (no < nestedBase ? [no] : []))
    const isEnded = runtime.jobs().find(({ id }) => id === job)?.isEnded ?? false
    const fresh = new Set<number>()
    for (const group of followed.groups) {
      for (let no = group.progress.total; no < nos.length; no++) fresh.add(no)
      group.grow(nos.length)
      if (isDropped) group.abandon('its job was forgotten')
      else if (isEnded) group.complete()
    }
    if (fresh.size > 0) runtime.watch([...fresh].map((no) => ({ job, no })))
    if (!isEnded && !isDropped) return
    followed.loseInterest()
    open.delete(job)
  }

  /** Once per turn, however many notices came. */
  const refreshSoon = (job: JobId): void => {
    if (!open.has(job) || stale.has(job)) return
    stale.add(job)
    queueMicrotask(() => {
      stale.delete(job)
      refresh(job, false)
    })
  }

  const onNotice = (notice: Notice): void => {
    if (open.size === 0) return
    const job = 'task' in notice ? notice.task.job : notice.job
    // Outcomes of the same step come first: they tell more.
    if (notice.type === 'job-dropped') queueMicrotask(() => refresh(job, true))
    else refreshSoon(job)
  }

  const stop = runtime.onNotice(onNotice)
  return {
    add(job, group) {
      const followed = open.get(job) ?? { groups: new Set(), loseInterest: interest.add() }
      open.set(job, followed)
      followed.groups.add(group)
      if (runtime.jobs().some(({ id }) => id === job)) refresh(job, false)
      else {
        // Every job has a first task: should nobody know the job, its watch says so.
        group.grow(1)
        runtime.watch([{ job, no: 0 }])
      }
    },
    close() {
      stop()
      open.clear()
    },
  }
}
