import { ShoalError } from '@shoal/scheduler'
import { completedOf } from './outcome.ts'
import { TaskHandle } from './task.ts'
import type { Completed, Task } from './types.ts'
import type { Waitable } from './view.ts'

/** The tasks in the order in which they end, as records. */
export function asCompleted<T>(tasks: readonly Task<T>[]): AsyncIterable<Completed<T>> {
  const handles = tasks.map((task, index) => {
    if (task instanceof TaskHandle) return task as TaskHandle<T>
    throw new ShoalError(
      'E_OPTION',
      `Cannot follow tasks as each must be a task of a mesh: current value at ${index} is ${typeof task}`,
    )
  })
  return {
    [Symbol.asyncIterator]: () => iterate(handles),
  }
}

/** Written by hand: an async generator would flatten a value that is a task. */
function iterate<T>(handles: readonly TaskHandle<T>[]): AsyncIterator<Completed<T>> {
  const ended: number[] = []
  let taken = 0
  let wake: (() => void) | null = null
  handles.forEach((handle, index) => {
    handle.whenEnded(() => {
      ended.push(index)
      wake?.()
    })
  })
  return {
    async next() {
      if (taken === handles.length) return { done: true, value: undefined }
      const position = taken++
      while (position >= ended.length) {
        await new Promise<void>((resolve) => {
          const before = wake
          // Several callers may wait at once: each is woken and looks for itself.
          wake = () => {
            before?.()
            resolve()
          }
        })
      }
      const index = ended[position] as number
      return { done: false, value: completedOf(index, handles[index] as TaskHandle<T>) }
    },
  }
}

/**
 * Waits for the body and for everything in `spawned`, which may still grow meanwhile.
 * @returns what the body gave; rejects with the first failure, once all have ended
 */
export async function waitForAll<R>(
  body: () => R | PromiseLike<R>,
  spawned: readonly Waitable[],
): Promise<R> {
  const outcome = await settle(body)
  for (let index = 0; index < spawned.length; index++) await spawned[index]?.wait()
  if ('error' in outcome) throw outcome.error
  for (const task of spawned) await task.fetch()
  return outcome.value
}

async function settle<R>(body: () => R | PromiseLike<R>): Promise<{ value: R } | { error: unknown }> {
  try {
    return { value: await body() }
  } catch (error) {
    return { error }
  }
}
