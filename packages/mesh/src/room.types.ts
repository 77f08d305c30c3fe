import type {
  JobId,
  Network,
  OperationStore,
  PeerId,
  PeerRole,
  ProcessorRecord,
  Replica,
  Unsubscribe,
} from '@shoal/scheduler'
import type { RoomChunks } from './chunks/store.ts'

/** What an invite holds: the link that people share, taken apart. */
export interface Invite {
  /** Where the room's signalling server and page are, for example `http://192.168.1.7:7420`. */
  readonly url: string
  /** Public name of the room: safe in logs. */
  readonly room: string
  readonly role: PeerRole
  /** 32 bytes: the room secret (member) or the contributors' key derived from it. Never logged. */
  readonly key: Uint8Array
}

/** Where what a peer knows is kept: until it ends, or for its next start, too. */
export type Durability = 'memory' | 'disk'

/** How this peer stands in its room. */
export interface RoomHealth {
  /** `false`: the signalling server is away; existing links go on, new peers cannot join. */
  readonly isOnline: boolean
  readonly peers: number
  readonly members: number
  /** Whether this member's copy of the room's state outlives it; a contributor has none. */
  readonly durability: Durability
  /** Reasons why something is less than it could be, for people; empty when all is well. */
  readonly reasons: readonly string[]
}

/** A peer's place in a room: identity, links, view, replica. What `joinRoom` gives. */
export interface Room {
  readonly self: PeerId
  readonly epoch: number
  readonly role: PeerRole
  readonly invite: Invite
  readonly network: Network
  /** `null` for contributors. */
  readonly replica: Replica | null
  readonly operations: OperationStore
  readonly chunks: RoomChunks
  /**
   * Resolves when what is known here of a job outlives this peer: another member has it, or it is on the
   * disk of this Node process. Waits for a member to come when there is none.
   * @throws ShoalError `E_CLOSED` the room is left first; `E_FORBIDDEN` a contributor holds no job
   */
  durable(job: JobId): Promise<void>
  health(): RoomHealth
  /** What reaches the peers in view at present. */
  links(): readonly { readonly peer: PeerId; readonly over: 'webrtc' | 'tcp' }[]
  onHealth(listener: (health: RoomHealth) => void): Unsubscribe
  /** Everything refused or broken on the way in, with its code; for logs and tests. */
  onRefused(listener: (refusal: Refusal) => void): Unsubscribe
  /**
   * Says goodbye on every link, closes them, leaves signalling. Idempotent.
   * @param withinMs longest wait for others to hang up; default and most 200
   */
  leave(withinMs?: number): Promise<void>
}

/** One piece of bad input: it was dropped, the peer goes on. */
export interface Refusal {
  readonly code: string
  readonly message: string
  readonly from: string
}

export type { ProcessorRecord }
