/** A processor with work of this owner in front of it. */
export interface StealVictim {
  readonly queuedMs: number
  readonly rttMs: number
  /** Tasks given to it, the running one included. */
  readonly assigned: number
  /** Estimate of the task that runs there now. */
  readonly headMs: number
}

/**
 * How many unstarted tasks to take from a victim for an idle processor: half of what waits there,
 * and none when asking and moving takes longer than waiting.
 */
export function stealCount(victim: StealVictim, thiefRttMs: number): number {
  const waiting = victim.assigned - 1
  if (waiting < 1) return 0
  if (victim.queuedMs - victim.headMs <= victim.rttMs + thiefRttMs) return 0
  return Math.ceil(waiting / 2)
}
