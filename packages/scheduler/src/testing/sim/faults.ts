import type { SimRng } from './rng.ts'
import type { WorldShape } from './shape.ts'

/** One thing that goes wrong, and for how long where it mends itself. */
export type SimFault =
  | { readonly type: 'crash'; readonly atMs: number; readonly peer: number }
  | { readonly type: 'restart'; readonly atMs: number; readonly peer: number; readonly forMs: number }
  | { readonly type: 'leave'; readonly atMs: number; readonly peer: number }
  | { readonly type: 'pause'; readonly atMs: number; readonly peer: number; readonly forMs: number }
  | { readonly type: 'slow'; readonly atMs: number; readonly peer: number; readonly forMs: number }
  | { readonly type: 'processor-death'; readonly atMs: number; readonly peer: number; readonly index: number }
  /** Cuts these directions: halves, a bridge, or one way only. */
  | {
      readonly type: 'partition'
      readonly atMs: number
      readonly forMs: number
      readonly kind: 'halves' | 'bridge' | 'one-way'
      readonly cuts: readonly (readonly [number, number])[]
    }
  /** Holds everything to and from a peer back. */
  | { readonly type: 'clog'; readonly atMs: number; readonly peer: number; readonly forMs: number }

export type FaultKind = SimFault['type']

/** The faults of a world, in order of time; `without` leaves kinds out, to find the one that matters. */
export function makeFaults(
  rng: SimRng,
  shape: WorldShape,
  without: ReadonlySet<string>,
): readonly SimFault[] {
  if (shape.isCalm) return []
  const lastMs = shape.mode === 'liveness' ? shape.horizonMs * 0.6 : shape.horizonMs
  const faults: SimFault[] = []
  const count = rng.int(10)
  for (let index = 0; index < count; index++) faults.push(makeFault(rng, shape, rng.between(100, lastMs)))
  if (rng.chance(0.1)) faults.push(...swizzleClog(rng, shape, rng.between(100, lastMs / 2)))
  return faults.filter((fault) => !without.has(fault.type)).sort((left, right) => left.atMs - right.atMs)
}

function makeFault(rng: SimRng, shape: WorldShape, atMs: number): SimFault {
  const peer = rng.int(shape.peers.length)
  const isImmortal = peer === shape.immortal
  // Around the times at which peers are suspected and declared dead, and far from them.
  const forMs = rng.pick([200, 1400, 2900, 3300, 6000]) * rng.between(0.8, 1.2)
  const dice = rng.next()
  if (dice < 0.12 && !isImmortal) return { type: 'crash', atMs, peer }
  if (dice < 0.24 && !isImmortal) return { type: 'restart', atMs, peer, forMs }
  if (dice < 0.3 && !isImmortal) return { type: 'leave', atMs, peer }
  if (dice < 0.5) return { type: 'pause', atMs, peer, forMs }
  if (dice < 0.56) return { type: 'slow', atMs, peer, forMs }
  if (dice < 0.68) return { type: 'processor-death', atMs, peer, index: rng.int(4) }
  if (dice < 0.9) return partition(rng, shape.peers.length, atMs, forMs)
  return { type: 'clog', atMs, peer, forMs: Math.min(forMs, 3300) }
}

function partition(rng: SimRng, size: number, atMs: number, forMs: number): SimFault {
  const order = rng.shuffled(Array.from({ length: size }, (_, index) => index))
  const kind = rng.pick(['halves', 'bridge', 'one-way'] as const)
  const half = 1 + rng.int(size - 1)
  const left = order.slice(0, half)
  const right = order.slice(half)
  const cuts: (readonly [number, number])[] = []
  // A bridge is a peer that both sides still reach.
  const bridge = kind === 'bridge' ? order[0] : -1
  for (const from of left) {
    for (const to of right) {
      if (from === bridge || to === bridge) continue
      cuts.push([from, to])
      if (kind !== 'one-way') cuts.push([to, from])
    }
  }
  return { type: 'partition', atMs, forMs, kind, cuts }
}

/** Clogs peers one by one and lets them go in another order. */
function swizzleClog(rng: SimRng, shape: WorldShape, fromMs: number): SimFault[] {
  const peers = rng.shuffled(shape.peers.map((_, index) => index)).slice(0, 1 + rng.int(shape.peers.length))
  return peers.map((peer, index) => ({
    type: 'clog',
    atMs: fromMs + index * 150,
    peer,
    forMs: rng.between(300, 3300),
  }))
}

export function describeFault(fault: SimFault): string {
  const forMs = 'forMs' in fault ? ` for ${fault.forMs.toFixed(0)} ms` : ''
  if (fault.type === 'partition') {
    return `${fault.kind} ${fault.cuts.map(([from, to]) => `p${from}-/->p${to}`).join(' ')}${forMs}`
  }
  return `${fault.type} p${fault.peer}${forMs}`
}
