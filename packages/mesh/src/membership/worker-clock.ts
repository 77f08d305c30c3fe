import type { Clock } from '@shoal/scheduler'
import { createSystemClock } from '../transport/clock.ts'

/** What the worker runs: it wakes the page after so many milliseconds. */
const source = 'onmessage = ({ data: [id, ms] }) => setTimeout(() => postMessage(id), ms)'

/**
 * A clock whose timers live in a worker of their own: browsers slow the timers of hidden tabs down to
 * one per second or minute, and a peer that is late with its heartbeats is soon given up. Where workers
 * cannot be had (Node, a strict policy) it is the system's clock.
 */
export function createWorkerClock(): Clock {
  const system = createSystemClock()
  const pending = new Map<number, { readonly atMs: number; readonly callback: () => void }>()
  let nextId = 0
  let worker = startWorker()

  const fire = (id: number): void => {
    const timer = pending.get(id)
    if (timer === undefined) return
    const leftMs = timer.atMs - system.now()
    if (leftMs > 0) {
      arm(id, leftMs)
      return
    }
    pending.delete(id)
    timer.callback()
  }
  const arm = (id: number, ms: number): void => {
    if (worker === null) system.setTimer(system.now() + ms, () => fire(id))
    else worker.postMessage([id, Math.max(0, ms)])
  }
  if (worker !== null) {
    worker.onmessage = ({ data }: MessageEvent<number>) => fire(data)
    worker.onerror = () => {
      worker?.terminate()
      worker = null
      for (const [id, timer] of pending) arm(id, timer.atMs - system.now())
    }
  }
  return {
    now: system.now,
    defer: system.defer,
    setTimer(atMs, callback) {
      const id = nextId++
      pending.set(id, { atMs, callback })
      arm(id, atMs - system.now())
      return () => {
        pending.delete(id)
      }
    },
  }
}

function startWorker(): Worker | null {
  if (typeof Worker === 'undefined' || typeof Blob === 'undefined') return null
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  try {
    return new Worker(url, { name: 'shoal clock' })
  } catch {
    return null
  }
}
