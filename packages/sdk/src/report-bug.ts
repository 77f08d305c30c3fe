/**
 * Shows a bug of Shoal itself. The loop goes on: one broken step must not end the peer.
 */
export function reportBug(error: unknown): void {
  console.error('Shoal met a bug of its own and goes on:', error)
}
