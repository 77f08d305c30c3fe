import {
  type Clock,
  type DetectorOptions,
  type JobId,
  type Message,
  type Network,
  type OperationStore,
  type PeerId,
  type PeerRole,
  type Replica,
  type ReplicaNetwork,
  type Rng,
  ShoalError,
  type Transport,
  type ViewEvent,
} from '@shoal/scheduler'
import type { OpenDisk } from './chunks/disk.ts'
import { type ChunkRoutes, createChunkRoutes } from './chunks/routes.ts'
import { createChunkStore, type MeshChunkStore } from './chunks/store.ts'
import { keysOf } from './invite.ts'
import { limits } from './limits.ts'
import { createIdentity, type Identity, type RoomKeys } from './membership/crypto.ts'
import { createPeers } from './membership/peers.ts'
import type { Peers } from './membership/peers.types.ts'
import { createSigning } from './membership/signing.ts'
import { createOperations, type OperationsOptions } from './operations.ts'
import type { PeerStore } from './peer-store.ts'
import {
  createReplica,
  type ReplicaExtras,
  type ReplicaSigning,
  type ReplicaStorage,
} from './replica/index.ts'
import type { Durability, Invite, Refusal, Room, RoomHealth } from './room.types.ts'
import { createListeners, type Listeners } from './transport/listeners.ts'

/** Makes the replica of a member. */
export type ReplicaFactory = (parts: {
  readonly self: PeerId
  readonly network: ReplicaNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly operations: OperationStore
  readonly onRefused: (refusal: Refusal) => void
  readonly signing: ReplicaSigning
  readonly onEquivocation: (peer: PeerId) => void
  readonly storage?: ReplicaStorage
}) => Replica & Partial<Pick<ReplicaExtras, 'durable' | 'settle'>>

export interface RoomOptions {
  readonly invite: Invite
  /** Of the invite's room. The room closes it when it is left. */
  readonly transport: Transport
  /** In browsers one that hidden tabs do not slow down: `createWorkerClock`. */
  readonly clock: Clock
  /** Strong random bytes; default `crypto.getRandomValues`. */
  readonly random?: (length: number) => Uint8Array
  /** Start of this peer under its identity; default 1. With a kept identity: higher at each start. */
  readonly epoch?: number
  /** Default: a fresh one. */
  readonly identity?: Identity
  /** What this peer keeps for its next start; it then says who it is and which start this is. The room closes it. */
  readonly store?: PeerStore
  /** Why there is no store although one was wanted: told with the health. */
  readonly storageFault?: ShoalError
  /** Where chunks go for which there is no room in memory; default: nowhere. */
  readonly openChunkDisk?: OpenDisk
  /** Bytes of chunks in memory; default 256 MiB. */
  readonly chunkMemoryBytesMax?: number
  /** When silence is suspicion, and death; defaults 500 / 1500 / 3000 ms. */
  readonly detector?: Partial<DetectorOptions>
  /** Default: {@link createReplica}. Never called for contributors. */
  readonly createReplica?: ReplicaFactory
}

/** Messages kept for a listener that comes a little later; more are dropped, oldest first. */
const earlyMessagesMax = 4096

/**
 * Enters a room: says who this peer is to everybody who is there or comes, and keeps a link to each of
 * them. Resolves at once; peers show up through `network.onView`.
 */
export async function openRoom(options: RoomOptions): Promise<Room> {
  const keys = await keysOf(options.invite)
  const identity = options.store?.identity ?? options.identity ?? (await createIdentity())
  return new OpenedRoom(options, keys, identity)
}

class OpenedRoom implements Room {
  readonly self: PeerId
  readonly role: PeerRole
  readonly invite: Invite
  readonly network: Network
  readonly replica: ReturnType<ReplicaFactory> | null
  readonly operations: OperationStore
  readonly chunks: MeshChunkStore
  readonly onHealth: Room['onHealth']
  readonly onRefused: Room['onRefused']
  readonly #transport: Transport
  readonly #peers: Peers
  readonly #healths: Listeners<[RoomHealth]> = createListeners(report)
  readonly #store: PeerStore | null
  readonly #storageFault: ShoalError | null
  readonly #stops: readonly (() => void)[]
  readonly #onPageHide = (): void => {
    // At once, also when a leave waits for signatures: a page that goes away has no other turn.
    void this.#goodbye()
    this.#left ??= this.#goodbye()
  }
  #left: Promise<void> | null = null
  #gone: Promise<void> | null = null

  constructor(options: RoomOptions, keys: RoomKeys, identity: Identity) {
    const { clock, transport, invite } = options
    const random = options.random ?? randomBytes
    const rng = createRng(random)
    const refusals: Listeners<[Refusal]> = createListeners(report)
    const inbox = createInbox(clock)
    const members = createMembers()
    const operations = createOperations(operationPorts(clock, () => this.#peers))
    this.self = identity.peer
    this.role = invite.role
    this.invite = invite
    this.operations = operations
    const routes = chunkRoutes(
      invite.role,
      () => this.#peers,
      () => this.chunks,
    )
    this.chunks = createChunkStore({
      self: identity.peer,
      clock,
      network: routes,
      openDisk: options.openChunkDisk ?? null,
      ...(options.chunkMemoryBytesMax !== undefined && { memoryBytesMax: options.chunkMemoryBytesMax }),
    })
    this.onHealth = this.#healths.add
    this.onRefused = refusals.add
    this.#transport = transport
    this.#store = options.store ?? null
    this.#storageFault = options.storageFault ?? null
    this.#peers = createPeers({
      transport,
      clock,
      rng,
      random,
      identity,
      keys,
      role: invite.role,
      room: invite.room,
      epoch: this.#store?.epoch ?? options.epoch ?? 1,
      detector: options.detector ?? {},
      hooks: {
        onView: (event) => {
          inbox.view(event)
          if (event.type === 'peer-joined' || event.type === 'peer-left')
            clock.defer(() => this.#tellHealth())
        },
        onMember: members.present,
        onMessages: inbox.messages,
        onReplica: members.message,
        onWanted: operations.onWanted,
        onOperation: operations.onAnswer,
        ...pieceHooks(routes),
        onRefused: refusals.emit,
        onEpoch: (epoch) => this.#store?.saveEpoch(epoch),
      },
    })
    this.network = {
      send: (to, message) => this.#peers.session(to)?.sendMessage(message),
      onMessage: inbox.onMessage,
      onView: inbox.onView,
    }
    const network = members.network(this.#peers)
    const documents = this.role === 'member' ? this.#store?.documents : undefined
    const storage = documents === undefined ? {} : { storage: documents }
    const signing = createSigning(invite.room, identity)
    const onEquivocation = (peer: PeerId): void => this.#peers.ban(peer)
    const signed = { signing, onEquivocation, onRefused: refusals.emit }
    const parts = { self: this.self, network, clock, rng, operations, ...signed, ...storage }
    this.replica = this.role === 'member' ? (options.createReplica ?? createReplica)(parts) : null
    const stopFaults = documents?.onFault(() => this.#tellHealth()) ?? (() => {})
    const stopChunkFaults = this.chunks.onFault(() => this.#tellHealth())
    this.#stops = [transport.onOnline(() => this.#tellHealth()), stopFaults, stopChunkFaults]
    // A page that goes away says goodbye first: capture, for the transport hangs up in the same event.
    globalThis.addEventListener?.('pagehide', this.#onPageHide, { capture: true })
  }

  get epoch(): number {
    return this.#peers.epoch
  }

  health(): RoomHealth {
    // Contributors have nothing to keep.
    const documents = this.role === 'member' ? this.#store?.documents : undefined
    const storageFault = this.role === 'member' ? this.#storageFault : null
    const fault = documents === undefined ? storageFault : documents.fault
    const durability = documents !== undefined && fault === null ? 'disk' : 'memory'
    const health = healthOf(this.#transport.isOnline, this.role, this.#peers, durability, fault)
    const chunkFault = this.chunks.fault
    if (chunkFault === null) return health
    return { ...health, reasons: [...health.reasons, `Chunks stay in memory: ${chunkFault.message}`] }
  }

  links(): ReturnType<Room['links']> {
    return this.#peers.list().flatMap(({ peer }) => {
      const session = this.#peers.session(peer)
      return session === null ? [] : [{ peer, over: session.pipe.link.isFast === true ? 'tcp' : 'webrtc' }]
    })
  }

  async durable(job: JobId): Promise<void> {
    const { replica } = this
    if (replica?.durable !== undefined) return replica.durable(job)
    const text = 'Cannot make a job durable as this peer must hold documents: current value is'
    throw new ShoalError('E_FORBIDDEN', `${text} ${this.role}`)
  }

  leave(withinMs?: number): Promise<void> {
    this.#left ??= this.#leave(withinMs)
    return this.#left
  }

  /** What was written last is signed and sent first. */
  async #leave(withinMs?: number): Promise<void> {
    if (this.replica?.settle !== undefined) await this.replica.settle()
    await this.#goodbye(withinMs)
  }

  #goodbye(withinMs?: number): Promise<void> {
    this.#gone ??= this.#go(withinMs)
    return this.#gone
  }

  async #go(withinMs?: number): Promise<void> {
    for (const stop of this.#stops) stop()
    globalThis.removeEventListener?.('pagehide', this.#onPageHide, { capture: true })
    this.replica?.close()
    // At once: a page that goes away has no other turn.
    const flushed = this.#store?.documents.flush()
    await this.#peers.leave(withinMs)
    await this.chunks.close()
    await flushed
    await this.#store?.close()
  }

  #tellHealth(): void {
    this.#healths.emit(this.health())
  }
}

/** Listeners that throw harm nobody else. */
function report(error: unknown): void {
  console.error(error)
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length))
}

function chunkRoutes(role: PeerRole, peers: () => Peers, store: () => MeshChunkStore): ChunkRoutes {
  return createChunkRoutes({
    role,
    store,
    session: (peer) => peers().session(peer),
    isKnown: (peer) =>
      peers()
        .list()
        .some((remote) => remote.peer === peer),
    members: () => remoteMembers(peers()),
  })
}

/** What peers say about pieces. */
function pieceHooks({ onWanted, onPiece, onPieceLost, onReach }: ChunkRoutes) {
  return { onPieceWanted: onWanted, onPiece, onPieceLost, onReach }
}

function operationPorts(clock: Clock, peers: () => Peers): OperationsOptions {
  return {
    clock,
    ask(peer, request, hash) {
      const session = peers().session(peer)
      session?.want(request, hash)
      return session !== null
    },
    reply: (peer, request, text) => peers().session(peer)?.sendOperation(request, text),
    members: () => remoteMembers(peers()),
  }
}

/** What arrives before the runtime listens is kept for it: peers as they are then, messages in order. */
function createInbox(clock: Clock) {
  const views: Listeners<[ViewEvent]> = createListeners(report)
  const messages: Listeners<[PeerId, Message]> = createListeners(report)
  const joined = new Map<PeerId, ViewEvent>()
  let early: (readonly [PeerId, Message])[] | null = []
  return {
    view(event: ViewEvent): void {
      if (event.type === 'peer-joined') joined.set(event.peer, event)
      if (event.type === 'peer-left') joined.delete(event.peer)
      views.emit(event)
    },
    messages(from: PeerId, list: readonly Message[]): void {
      for (const message of list) {
        if (early === null) messages.emit(from, message)
        else if (early.push([from, message]) > earlyMessagesMax) early.shift()
      }
    },
    onView(listener: (event: ViewEvent) => void): () => void {
      for (const event of joined.values()) listener(event)
      return views.add(listener)
    },
    onMessage(listener: (from: PeerId, message: Message) => void): () => void {
      const stop = messages.add(listener)
      if (early !== null && early.length === 0) early = null
      // One turn later, so that whoever listens to the view, too, hears of the senders first.
      if (early !== null) {
        clock.defer(() => {
          const kept = early ?? []
          early = null
          for (const [from, message] of kept) messages.emit(from, message)
        })
      }
      return stop
    },
  }
}

/** The members' side channel for their replicas. */
function createMembers() {
  const present: Listeners<[PeerId, boolean]> = createListeners(report)
  const messages: Listeners<[PeerId, Uint8Array]> = createListeners(report)
  return {
    present: (peer: PeerId, isPresent: boolean): void => present.emit(peer, isPresent),
    message: (from: PeerId, message: Uint8Array): void => messages.emit(from, message),
    network: (peers: Peers): ReplicaNetwork => ({
      members: () => remoteMembers(peers),
      send: (to, message) => peers.session(to)?.sendReplica(message),
      onMessage: messages.add,
      onMember: present.add,
    }),
  }
}

function remoteMembers(peers: Peers): readonly PeerId[] {
  return peers
    .list()
    .filter((remote) => remote.role === 'member')
    .map((remote) => remote.peer)
}

function healthOf(
  isOnline: boolean,
  role: Room['role'],
  peers: Peers,
  durability: Durability,
  fault: ShoalError | null,
): RoomHealth {
  const others = peers.list().length
  const members = remoteMembers(peers).length
  const reasons: string[] = []
  if (!isOnline) reasons.push('The signalling server is away: links go on, new peers cannot join')
  if (role === 'contributor' && members === 0)
    reasons.push('No member is linked: there is nobody to work for')
  if (role === 'member' && members === 0) {
    reasons.push(
      durability === 'disk'
        ? 'No other member is linked: work waits for this one to return when it goes'
        : 'No other member is linked: what is lost here is lost',
    )
  }
  if (fault !== null) reasons.push(`What this peer knows will not outlive it: ${fault.message}`)
  if (others + 1 > limits.fullMeshPeers) {
    reasons.push(
      `The room is large: ${others + 1} peers, all linked to each other, are more than ${limits.fullMeshPeers}`,
    )
  }
  return { isOnline, peers: others + 1, members: members + (role === 'member' ? 1 : 0), durability, reasons }
}

/** Uniform numbers from strong random bytes: for jitter and choices. */
function createRng(random: (length: number) => Uint8Array): Rng {
  return {
    next() {
      const [a, b, c, d] = random(4)
      return (((a ?? 0) << 24) | ((b ?? 0) << 16) | ((c ?? 0) << 8) | (d ?? 0)) / 2 ** 32 + 0.5
    },
  }
}
