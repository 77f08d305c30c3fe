import type { Clock } from '@shoal/scheduler'

/** Shows a bug of Shoal itself. The loop goes on: one broken step must not end the peer. */
export function reportBug(error: unknown): void {
  console.error('Shoal met a bug of its own and goes on:', error)
}

/** The runtime acts at the end of the turn: after this, it has. */
export function endOfTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.defer(resolve))
}
