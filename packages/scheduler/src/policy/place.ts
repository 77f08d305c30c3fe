/** What a placement on one processor would cost; every part in milliseconds or in units of them. */
export interface PlacementInput {
  /** Estimated work that waits there already. */
  readonly queuedMs: number
  readonly runMs: number
  readonly bytesToMove: number
  readonly bytesPerMs: number
  readonly rttMs: number
}

/**
 * The cost model, in milliseconds throughout: queue wait + run + bytes to move / link rate + round trip.
 * One unit, because a cost that mixes units places wrongly without ever failing.
 */
export function placementCostMs(input: PlacementInput): number {
  const moveMs = input.bytesToMove === 0 ? 0 : input.bytesToMove / input.bytesPerMs
  return input.queuedMs + input.runMs + moveMs + input.rttMs
}

/**
 * Whether a processor may be given one more task: two at least, so that it never idles between
 * tasks, and beyond that as much work as covers the round trip and `windowMs`.
 */
export function hasCredit(
  processor: {
    readonly assigned: { readonly size: number }
    readonly waiting: number
    readonly queuedMs: number
  },
  rttMs: number,
  limits: { readonly windowMax: number; readonly windowMs: number },
): boolean {
  // Bodies that wait for tasks of their own take no place: those tasks may need it.
  const taken = processor.assigned.size - processor.waiting
  if (taken < 2) return true
  return taken < limits.windowMax && processor.queuedMs < rttMs + limits.windowMs
}
