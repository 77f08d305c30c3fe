import type { Completed, ContextGroup } from '../types.ts'
import type { BodyTask } from './body-task.ts'

/** Tasks of one operation that a body spawned together. */
export function createBodyGroup(tasks: readonly BodyTask[]): ContextGroup<unknown> {
  const fetch = (): Promise<unknown[]> => Promise.all(tasks.map((task) => task.fetch()))
  return {
    // biome-ignore lint/suspicious/noThenProperty: a group is awaitable
    then: (onDone, onFailed) => fetch().then(onDone, onFailed),
    fetch,
    async wait() {
      await Promise.all(tasks.map((task) => task.wait()))
    },
    cancel(reason) {
      for (const task of tasks) if (!task.isReady()) task.cancel(reason)
    },
    get progress() {
      const counts = { done: 0, total: tasks.length, failed: 0 }
      for (const { status } of tasks) {
        if (status === 'done') counts.done++
        else if (status === 'failed' || status === 'cancelled') counts.failed++
      }
      return counts
    },
    [Symbol.asyncIterator]: () => iterate(tasks),
  }
}

/** Written by hand, as an async generator would flatten a value that is a task. Rejects when the body has to stop. */
function iterate(tasks: readonly BodyTask[]): AsyncIterator<Completed<unknown>> {
  const ended: number[] = []
  const waiting: (() => void)[] = []
  let stopped: { readonly reason: unknown } | null = null
  let taken = 0
  const wake = (): void => {
    for (const go of waiting.splice(0)) go()
  }
  tasks.forEach((task, index) => {
    task.wait().then(
      () => {
        ended.push(index)
        wake()
      },
      (reason: unknown) => {
        stopped ??= { reason }
        wake()
      },
    )
  })
  return {
    async next() {
      if (taken === tasks.length) return { done: true, value: undefined }
      const position = taken++
      while (position >= ended.length) {
        if (stopped !== null) throw (stopped as { readonly reason: unknown }).reason
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      const index = ended[position] as number
      return { done: false, value: await completedOf(index, tasks[index] as BodyTask) }
    },
  }
}

async function completedOf(index: number, task: BodyTask): Promise<Completed<unknown>> {
  const place = { index, task: [task], peer: null } as const
  try {
    return { ...place, status: 'done', value: await task.fetch(), processor: null }
  } catch (error) {
    return { ...place, status: task.status === 'cancelled' ? 'cancelled' : 'failed', error: error as Error }
  }
}
