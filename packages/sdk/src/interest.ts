import type { Runtime, Unsubscribe } from '@shoal/scheduler'

/** Who wants to hear of single tasks. A notice for each task costs: it is made only while somebody does. */
export interface TaskInterest {
  /** The result says that this one has heard enough. */
  add(): Unsubscribe
}

/** Counts the listeners of one runtime's task notices. */
export function createTaskInterest(runtime: Pick<Runtime, 'watchTaskNotices'>): TaskInterest {
  let count = 0
  return {
    add() {
      if (count++ === 0) runtime.watchTaskNotices(true)
      let isCounted = true
      return () => {
        if (!isCounted) return
        isCounted = false
        if (--count === 0) runtime.watchTaskNotices(false)
      }
    },
  }
}
