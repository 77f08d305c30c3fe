import type {
  Clock,
  DetectorOptions,
  Message,
  OperationHash,
  PeerId,
  PeerRole,
  Rng,
  Transport,
  ViewEvent,
} from '@shoal/scheduler'
import type { Wanted } from '../chunks/wanted.ts'
import type { Refusal } from '../room.types.ts'
import type { OperationText } from '../wire/control.ts'
import type { Remote } from '../wire/incoming.ts'
import type { Session } from '../wire/session.ts'
import type { Identity, RoomKeys } from './crypto.ts'

export interface PeersOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly rng: Rng
  readonly random: (length: number) => Uint8Array
  readonly identity: Identity
  readonly keys: RoomKeys
  readonly role: PeerRole
  readonly room: string
  readonly epoch: number
  readonly detector: Partial<DetectorOptions>
  readonly hooks: PeersHooks
}

export interface PeersHooks {
  onView(event: ViewEvent): void
  /** A member came (again, after a gap in what it sent), or went. */
  onMember(peer: PeerId, isPresent: boolean): void
  onMessages(from: PeerId, messages: readonly Message[]): void
  onReplica(from: PeerId, message: Uint8Array): void
  onWanted(from: PeerId, request: number, hash: OperationHash): void
  onOperation(from: PeerId, request: number, text: OperationText | null): void
  onPieceWanted(from: PeerId, wanted: Wanted, via: PeerId | null): void
  onPiece(from: PeerId, request: number, bytes: Uint8Array | null): void
  onPieceLost(from: PeerId, request: number): void
  /** A link to the peer was made (again), broke, or the peer is gone: see `list` and `session`. */
  onReach(peer: PeerId): void
  onRefused(refusal: Refusal): void
  /** This peer comes back at a higher epoch; nobody has heard of it yet. */
  onEpoch(epoch: number): void
}

/** Everybody in the room: links, sessions, who is alive, who is fenced. */
export interface Peers {
  /** Rises when others had given this peer up and it said hello again. */
  readonly epoch: number
  list(): readonly Remote[]
  /** `null`: not in the view, or its link is being made again. */
  session(peer: PeerId): Session | null
  /** Cuts a peer off for good: no hello of its is answered any more. */
  ban(peer: PeerId): void
  leave(withinMs?: number): Promise<void>
}
