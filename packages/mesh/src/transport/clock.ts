import type { Clock, Rng } from '@shoal/scheduler'

/** The platform's own time; `setTimer` may fire late, never early. */
export function createSystemClock(): Clock {
  const now = (): number => performance.now()
  const setTimer = (atMs: number, callback: () => void): (() => void) => {
    let timer: ReturnType<typeof setTimeout>
    const arm = (): void => {
      timer = setTimeout(() => (now() < atMs ? arm() : callback()), Math.max(0, atMs - now()))
    }
    arm()
    return () => clearTimeout(timer)
  }
  return { now, setTimer, defer: createDefer() }
}

/** The platform's own randomness: for jitter, never for secrets. */
export function createSystemRng(): Rng {
  return { next: Math.random }
}

/** `setImmediate` where it exists, else a message channel: timers of browsers wait at least 4 ms. */
function createDefer(): (callback: () => void) => void {
  if (typeof setImmediate === 'function') return (callback) => void setImmediate(callback)
  const callbacks: (() => void)[] = []
  const channel = new MessageChannel()
  channel.port1.onmessage = () => callbacks.shift()?.()
  return (callback) => {
    callbacks.push(callback)
    channel.port2.postMessage(null)
  }
}
