import type { PeerId, PeerRole, ProcessorRecord } from '../../index.ts'
import { processorId } from '../../index.ts'
import type { LinkConditions } from './network.ts'
import type { SimRng } from './rng.ts'
import type { StoreFaults } from './store.ts'

/**
 * `safety`: faults never stop, and only what must never happen is checked. `liveness`: faults stop at
 * 60 % of the horizon, and after that everything has to end.
 */
export type SimMode = 'safety' | 'liveness'

export interface PeerShape {
  readonly id: PeerId
  readonly role: PeerRole
  readonly startsAtMs: number
  readonly processors: readonly ProcessorRecord[]
  /** Of this peer's own clock. */
  readonly clockOffsetMs: number
  readonly clockRate: number
}

/** Who takes part in a world, and how good or bad its links and disks are. */
export interface WorldShape {
  readonly mode: SimMode
  /** No fault at all: a run must then be as good as it can be. */
  readonly isCalm: boolean
  readonly peers: readonly PeerShape[]
  /** The one member that is never killed, so that the room outlives its faults. */
  readonly immortal: number
  /** Faults and submissions happen within this many milliseconds. */
  readonly horizonMs: number
  /** Silence after which a dead process is given up: less than that of a cut link, when its sockets tell. */
  readonly killedMs?: number
  readonly links: LinkConditions
  readonly disks: StoreFaults
}

export const perfectLinks: LinkConditions = {
  delayMinMs: 1,
  delayMeanMs: 2,
  tailRate: 0,
  dropRate: 0,
  duplicateRate: 0,
  replicaDropRate: 0,
}

export function makeShape(rng: SimRng, mode: SimMode): WorldShape {
  const isCalm = mode === 'liveness' && rng.chance(0.1)
  const members = 2 + rng.int(4)
  const contributors = rng.int(Math.min(4, 9 - members))
  const peers = Array.from({ length: members + contributors }, (_, index) =>
    makePeer(rng, index, index < members ? 'member' : 'contributor', isCalm),
  )
  const immortal = rng.int(members)
  const safe = peers[immortal] as PeerShape
  peers[immortal] = { ...safe, startsAtMs: 0, processors: makeProcessors(rng, safe.id, 1 + rng.int(3)) }
  return {
    mode,
    isCalm,
    peers,
    immortal,
    horizonMs: rng.pick([4000, 8000, 12_000]),
    links: isCalm ? perfectLinks : makeLinks(rng),
    disks: {
      failRate: rng.pick([0, 0, 0.05]),
      tornMax: rng.pick([0, 1, 3]),
      lossRate: rng.pick([0, 0.5, 1]),
    },
  }
}

function makePeer(rng: SimRng, index: number, role: PeerRole, isCalm: boolean): PeerShape {
  const id = `p${index}` as PeerId
  return {
    id,
    role,
    startsAtMs: !isCalm && rng.chance(0.2) ? rng.between(0, 6000) : rng.between(0, 200),
    processors: makeProcessors(rng, id, rng.int(4)),
    clockOffsetMs: rng.int(600_000),
    clockRate: rng.pick([1, 1, 1 + 1 / 1024, 1 - 1 / 1024]),
  }
}

function makeProcessors(rng: SimRng, peer: PeerId, count: number): ProcessorRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const kind = index > 0 && rng.chance(0.2) ? 'gpu' : 'worker'
    return {
      id: processorId(peer, kind, index),
      kind,
      isDefault: kind === 'worker',
      score: rng.pick([0.5, 1, 2]),
    }
  })
}

function makeLinks(rng: SimRng): LinkConditions {
  return {
    delayMinMs: rng.pick([0.5, 2, 10]),
    delayMeanMs: rng.pick([1, 5, 30]),
    tailRate: rng.pick([0, 0.02, 0.1]),
    dropRate: rng.pick([0, 0, 0.02, 0.1]),
    duplicateRate: rng.pick([0, 0.02, 0.1]),
    replicaDropRate: rng.pick([0, 0, 0, 0.05]),
  }
}
