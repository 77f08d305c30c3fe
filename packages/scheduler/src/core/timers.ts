import type { JobId } from '../model/ids.ts'
import type { ServiceId } from '../model/service.ts'
import type { ReadyLane, TaskState } from './state.ts'

/** What to look at when its time has come. Each handler checks first whether it still applies. */
export type TimerAction =
  | { readonly type: 'adopt-grace'; readonly job: JobId; readonly epoch: number }
  | { readonly type: 'takeover'; readonly job: JobId; readonly epoch: number }
  | { readonly type: 'drop-job'; readonly job: JobId }
  | { readonly type: 'retry'; readonly task: TaskState }
  | { readonly type: 'starve'; readonly lane: ReadyLane }
  | { readonly type: 'orphan'; readonly job: JobId }
  | { readonly type: 'unknown'; readonly job: JobId; readonly nos: readonly number[] }
  | { readonly type: 'reclaim'; readonly job: JobId; readonly epoch: number }
  | { readonly type: 'service'; readonly service: ServiceId }
  | { readonly type: 'place' }
  | { readonly type: 'audit' }

interface TimerEntry {
  readonly at: number
  readonly order: number
  readonly action: TimerAction
}

/** A binary heap over (time, order of arming): equal times fire in the order in which they were armed. */
export class Timers {
  #heap: TimerEntry[] = []
  #order = 0

  /** When the next action is due; `Infinity` when there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY
  }

  arm(at: number, action: TimerAction): void {
    const heap = this.#heap
    heap.push({ at, order: this.#order++, action })
    let child = heap.length - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (isBefore(heap[parent] as TimerEntry, heap[child] as TimerEntry)) break
      swap(heap, parent, child)
      child = parent
    }
  }

  /** Takes the next action that is due at `now`, or `null`. */
  takeDue(now: number): TimerAction | null {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.at > now) return null
    const last = heap.pop() as TimerEntry
    if (heap.length > 0) {
      heap[0] = last
      sink(heap)
    }
    return first.action
  }
}

function isBefore(left: TimerEntry, right: TimerEntry): boolean {
  return left.at !== right.at ? left.at < right.at : left.order < right.order
}

function swap(heap: TimerEntry[], i: number, k: number): void {
  const kept = heap[i] as TimerEntry
  heap[i] = heap[k] as TimerEntry
  heap[k] = kept
}

function sink(heap: TimerEntry[]): void {
  let parent = 0
  for (;;) {
    let least = parent
    for (const child of [2 * parent + 1, 2 * parent + 2]) {
      if (child < heap.length && isBefore(heap[child] as TimerEntry, heap[least] as TimerEntry)) least = child
    }
    if (least === parent) return
    swap(heap, parent, least)
    parent = least
  }
}
