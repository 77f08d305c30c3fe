import type { Clock, Link } from '@shoal/scheduler'

/** Longest wait for others to close their ends when this peer leaves, in milliseconds. */
export const farewellMs: number = 200

/**
 * Resolves when the others have closed their ends, which says that they took in the goodbye.
 * @param withinMs how long to wait for that at most
 */
export function farewell(links: readonly Link[], clock: Clock, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    let open = links.length
    if (open === 0) {
      resolve()
      return
    }
    const cancel = clock.setTimer(clock.now() + withinMs, resolve)
    for (const link of links) {
      link.onClose(() => {
        if (--open > 0) return
        cancel()
        resolve()
      })
    }
  })
}
