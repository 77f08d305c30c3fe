/** A scope whose timers can all be stopped. */
export interface StoppableTimers {
  run<T>(callback: () => T): T
  stop(): void
}

/**
 * Runs code that starts timers for ever and offers no way to end them (the PeerJS server sweeps its
 * queues and clients so). Timers that are set synchronously within `run`, or within such a timer, stop
 * with the scope and do not keep the process alive.
 */
export function withStoppableTimers(): StoppableTimers {
  let isStopped = false
  const run = <T>(callback: () => T): T => {
    const original = globalThis.setTimeout
    const scoped = (handler: () => void, ms?: number): NodeJS.Timeout => {
      const timer = original(() => (isStopped ? undefined : run(handler)), ms)
      timer.unref()
      return timer
    }
    globalThis.setTimeout = Object.assign(scoped, original) as typeof globalThis.setTimeout
    try {
      return callback()
    } finally {
      globalThis.setTimeout = original
    }
  }
  return {
    run,
    stop() {
      isStopped = true
    },
  }
}
