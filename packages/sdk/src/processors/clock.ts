import type { Clock } from '@shoal/scheduler'
import { atTurnEnd } from '../microtask.ts'

/** The platform's clock. Its timers do not keep a process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(atMs, callback) {
    const timer = setTimeout(callback, Math.max(0, atMs - performance.now()))
    if (typeof timer === 'object') timer.unref()
    return () => clearTimeout(timer)
  },
  defer: atTurnEnd,
}
