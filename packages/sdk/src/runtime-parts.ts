import type { Clock } from '@shoal/scheduler'
import { atTurnEnd } from './microtask.ts'

/** Shows a bug of Shoal itself. The loop goes on: one broken step must not end the peer. */
export function reportBug(error: unknown): void {
  console.error('Shoal met a bug of its own and goes on:', error)
}

/**
 * The clock of a runtime: its turn ends with the microtasks. Whoever makes events has gathered a whole
 * burst by then; a trip around the event loop for each step would only lengthen every round trip.
 */
export function turnClock(clock: Clock): Clock {
  return {
    now: () => clock.now(),
    setTimer: (atMs, callback) => clock.setTimer(atMs, callback),
    defer: atTurnEnd,
  }
}

/** The runtime acts at the end of the turn: after this, it has. */
export function endOfTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.defer(resolve))
}
