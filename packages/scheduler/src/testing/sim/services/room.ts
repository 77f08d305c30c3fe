import type { Runtime, ServiceId } from '../../../index.ts'
import type { Gate, SimLoop } from '../clock.ts'
import type { SimMembership } from '../membership.ts'
import type { Endpoint, SimNetwork } from '../network.ts'
import type { SimMutation } from '../peer.ts'
import type { SimPost, SimReplica, SimReplicaFactory } from '../replica.ts'
import type { SimRng } from '../rng.ts'
import type { SimDisk } from '../store.ts'
import type { Trace } from '../trace.ts'
import type { SeenCall } from './history.ts'
import type { SimServiceHost } from './host.ts'
import type { ServicePlan } from './plan.ts'

/** One start of a peer. */
export interface Peer {
  readonly index: number
  readonly incarnation: number
  readonly gate: Gate
  readonly endpoint: Endpoint
  readonly runtime: Runtime
  readonly host: SimServiceHost
  readonly replica: SimReplica
  isLeaving: boolean
}

/** A simulated room with one service. */
export interface World {
  readonly plan: ServicePlan
  readonly loop: SimLoop
  readonly net: SimNetwork
  readonly membership: SimMembership
  readonly trace: Trace
  readonly rng: SimRng
  readonly post: SimPost
  readonly mutate: SimMutation | null
  readonly createReplica: SimReplicaFactory
  readonly peers: (Peer | null)[]
  readonly disks: readonly SimDisk[]
  readonly calls: (SeenCall & { readonly peer: Peer })[]
  readonly violations: string[]
  nextToken: number
  faults: number
  moves: number
  isOver: boolean
}

/** The only service of the room. */
export const service: ServiceId = 'the-list' as ServiceId

export function livePeers(world: World): Peer[] {
  return world.peers.filter(
    (peer): peer is Peer => peer !== null && peer.gate.state === 'running' && !peer.isLeaving,
  )
}

export function openCalls(world: World): World['calls'] {
  return world.calls.filter(
    ({ peer, answeredAt }) => answeredAt === null && peer.gate.state === 'running' && !peer.isLeaving,
  )
}

/** The room can lose any one peer now: the host has a follower that has everything. */
export function isWell(world: World): boolean {
  const live = livePeers(world)
  if (live.some((peer) => peer.runtime.peers().length !== live.length)) return false
  if (world.peers.some((peer) => peer?.gate.state === 'paused')) return false
  const host = live.find((peer) => peer.runtime.state.services.services.get(service)?.hosted?.isActing)
  const known = host?.runtime.state.services.services.get(service)
  if (known?.hosted?.isOpen !== true || known.claim === null || known.bid !== null) return false
  if (live.length === 1) return false
  const { follower, voters } = known.claim
  const kept = follower === null ? undefined : known.hosted.kept.get(follower)
  return (
    kept !== undefined &&
    kept.acked >= 0 &&
    voters.every(({ peer }) => live.some((one) => one.runtime.self === peer))
  )
}
