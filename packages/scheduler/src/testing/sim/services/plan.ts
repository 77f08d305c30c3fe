import type { Consistency, Durability } from '../../../index.ts'
import type { LinkConditions } from '../network.ts'
import type { SimRng } from '../rng.ts'
import { perfectLinks } from '../shape.ts'

/**
 * `chaos`: strict services, and everything goes wrong at any time, partitions too: state may be lost, but no two
 * answers may contradict each other. `gentle`: available services, one fault at a time, and no partition: nothing
 * may be lost.
 */
export type ServiceWorldKind = 'chaos' | 'gentle'

export type ServiceFault =
  | { readonly type: 'crash' | 'leave' | 'worker' }
  | { readonly type: 'restart' | 'pause' | 'clog'; readonly forMs: number }
  | { readonly type: 'partition'; readonly forMs: number; readonly kind: 'halves' | 'bridge' | 'one-way' }
  /** `isFatal`: its new host dies in the moment in which who asked hears that it moved. */
  | { readonly type: 'migrate'; readonly isFatal: boolean }

export interface ServicePlan {
  readonly kind: ServiceWorldKind
  readonly members: number
  readonly links: LinkConditions
  readonly durability: Durability
  readonly consistency: Consistency
  readonly every: number
  /** Faults, by when; in gentle worlds each waits until the room is well again. */
  readonly faults: readonly { readonly atMs: number; readonly fault: ServiceFault }[]
  readonly horizonMs: number
  readonly callEveryMs: number
  readonly burst: number
}

export function makePlan(rng: SimRng, kind: ServiceWorldKind): ServicePlan {
  const horizonMs = kind === 'chaos' ? 12_000 : 20_000
  const count = 1 + rng.int(kind === 'chaos' ? 10 : 5)
  const faults = Array.from({ length: count }, () => ({
    atMs: rng.between(800, horizonMs * 0.8),
    fault: makeFault(rng, kind),
  }))
  return {
    kind,
    members: kind === 'chaos' ? 3 + rng.int(4) : 2 + rng.int(4),
    links: makeLinks(rng, kind),
    durability: rng.pick(['journal', 'snapshot'] as const),
    consistency: kind === 'chaos' ? 'strict' : 'available',
    every: rng.pick([1, 3, 20]),
    faults: faults.sort((left, right) => left.atMs - right.atMs),
    horizonMs,
    callEveryMs: rng.pick([100, 300, 1000]),
    burst: rng.pick([1, 3, 8]),
  }
}

function makeFault(rng: SimRng, kind: ServiceWorldKind): ServiceFault {
  const forMs = rng.pick([200, 1400, 2900, 3300, 6000]) * rng.between(0.8, 1.2)
  const dice = rng.next()
  if (kind === 'chaos' && dice < 0.35) {
    return { type: 'partition', forMs, kind: rng.pick(['halves', 'bridge', 'one-way'] as const) }
  }
  if (kind === 'chaos' && dice < 0.45) return { type: 'clog', forMs: Math.min(forMs, 3300) }
  if (dice < 0.55) return { type: 'crash' }
  if (dice < 0.68) return { type: 'restart', forMs }
  if (dice < 0.8) return { type: 'pause', forMs }
  if (dice < 0.87) return { type: 'leave' }
  return dice < 0.94 ? { type: 'worker' } : { type: 'migrate', isFatal: dice >= 0.965 }
}

function makeLinks(rng: SimRng, kind: ServiceWorldKind): LinkConditions {
  if (kind === 'gentle')
    return { ...perfectLinks, tailRate: rng.pick([0, 0.1]), duplicateRate: rng.pick([0, 0.1]) }
  return {
    delayMinMs: rng.pick([0.5, 2, 10]),
    delayMeanMs: rng.pick([1, 5, 30]),
    tailRate: rng.pick([0, 0.02, 0.1]),
    dropRate: rng.pick([0, 0, 0.02, 0.1]),
    duplicateRate: rng.pick([0, 0.02, 0.1]),
    replicaDropRate: rng.pick([0, 0, 0.05]),
  }
}
