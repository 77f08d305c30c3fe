import { ShoalError } from '@shoal/scheduler'
import { completedOf } from './outcome.ts'
import { TaskHandle } from './task.ts'
import type { Completed, Task } from './types.ts'
import type { Waitable } from './view.ts'

/**
 * The values of all, in order; rejects with the first failure. Does what `Promise.all` does, without its
 * three promises for each task.
 */
export function allOf(items: readonly unknown[]): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const values: unknown[] = new Array(items.length)
    let left = items.length
    const take = (index: number, value: unknown): void => {
      values[index] = value
      if (--left === 0) resolve(values)
    }
    if (left === 0) resolve(values)
    items.forEach((item, index) => {
      if (!(item instanceof TaskHandle)) {
        Promise.resolve(item).then((value) => take(index, value), reject)
        return
      }
      item.whenEnded(() => {
        // A failure, and a value that is a task itself, go the long way: rare, and it has their rules.
        const value = valueOrTask(item)
        if (isThenable(value)) value.then((inner) => take(index, inner), reject)
        else take(index, value)
      })
    })
  })
}

function valueOrTask(task: TaskHandle<unknown>): unknown {
  const { outcome } = task
  if (outcome?.status !== 'done') return task
  try {
    return task.book.keeper.read(outcome.value)
  } catch {
    return task
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

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
      return { done: false, value: await completedOf(index, handles[index] as TaskHandle<T>) }
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
