import type { Call } from './core/effects.ts'
import type { CallEnded, PeerRole } from './core/events.ts'
import type { ChunkId, ChunkPayload, ChunkRef } from './model/chunk.ts'
import type { ErrorRecord } from './model/errors.ts'
import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from './model/ids.ts'
import type { AttemptRef, Message, SpawnRequest } from './model/message.ts'
import type { OperationRecord } from './model/operation.ts'
import type { PackedPayload, Payload } from './model/payload.ts'
import type { ProcessorRecord } from './model/processor.ts'
import type { ReplicatedRecord } from './model/records.ts'
import type { ServiceId, ServiceNews, ServiceRun, ServiceSpec } from './model/service.ts'
import type { Outcome, TaskSpec } from './model/task.ts'

/** Ends a subscription. Calling it twice is harmless. */
export type Unsubscribe = () => void

/** Time of this peer. Monotonic: never compared between peers. */
export interface Clock {
  /** Milliseconds since an arbitrary start. */
  now(): number
  /** Calls back once, not before `atMs`. The result cancels it; cancelling late is harmless. */
  setTimer(atMs: number, callback: () => void): () => void
  /** Calls back once, after what runs at present: the end of the event-loop turn. */
  defer(callback: () => void): void
}

/** Uniform numbers in [0, 1). */
export interface Rng {
  next(): number
}

/** Why a link closed. `bye`: the other side closed it politely. */
export type CloseReason = 'bye' | 'lost' | 'closed-here' | 'protocol'

/** `control`: small frames, never blocked. `bulk`: big values, opened when first needed. */
export type LinkChannel = 'control' | 'bulk'

/**
 * One ordered, reliable pipe of messages to one address. A message arrives whole and once, or the
 * link closes. Listeners that throw must not break the link.
 */
export interface Link {
  readonly remoteAddress: string
  readonly channel: LinkChannel
  /** Largest message in bytes; a larger `send` throws `E_TOO_LARGE` and harms nothing. */
  readonly messageBytesMax: number
  /** DTLS fingerprints of both ends, or `null` where the pipe has none (memory, loopback). */
  readonly binding: { readonly local: string; readonly remote: string } | null
  /** Bytes accepted but not yet handed to the network. */
  readonly bufferedBytes: number
  /** What is sent goes over a TCP line at present. Absent: never. */
  readonly isFast?: boolean
  /** Queues a copy of a message; on a closed link it is dropped silently (the close event tells). */
  send(message: Uint8Array): void
  /**
   * As `send`, of a message in two parts, where the link need not copy: `rest` must not change any more.
   * A link that has it takes messages of `messageBytesMax` as well as small ones.
   */
  sendParts?(front: Uint8Array, rest: Uint8Array): void
  /** At most one listener; messages that arrive before it is set are kept for it. */
  onMessage(listener: (message: Uint8Array) => void): Unsubscribe
  /** `bufferedBytes` fell to the low watermark (64 KiB). */
  onDrain(listener: () => void): Unsubscribe
  /** Exactly once, nothing after it; at once when the link is closed already. */
  onClose(listener: (reason: CloseReason) => void): Unsubscribe
  /**
   * The other end has proved who it is: a link that knows a faster way may tell it of that way, and take it.
   * Nothing else about the link changes.
   */
  trust?(): void
  /** Idempotent. */
  close(): void
}

/** Finds addresses of one room and connects to them. */
export interface Transport {
  /** Where others can dial this peer. Fixed from `open` on. */
  readonly address: string
  /** `false`: signalling is away; links live on, new ones wait. */
  readonly isOnline: boolean
  onOnline(listener: (isOnline: boolean) => void): Unsubscribe
  /** An address of the room was seen; called for those present already, too. A hint, never a fact. */
  onSeen(listener: (address: string) => void): Unsubscribe
  /** An address's signalling went away, or a line of its broke. A hint to probe, never a death. */
  onGone(listener: (address: string) => void): Unsubscribe
  /** A link that the other side dialled. */
  onLink(listener: (link: Link) => void): Unsubscribe
  /**
   * @throws ShoalError `E_DIAL` when no link came about in time
   */
  dial(address: string, channel: LinkChannel): Promise<Link>
  /** Closes each link itself, then leaves signalling. Idempotent. */
  close(): Promise<void>
}

/**
 * Why a peer is no longer in the view. `left`: it said goodbye. `dead`: it did not answer. `fenced`: it lives, and
 * gave this peer up, which comes back to it under a higher epoch.
 */
export type LeaveCause = 'left' | 'dead' | 'fenced'

/** What the view of the room says; see the events of the same names. */
export type ViewEvent =
  | { readonly type: 'peer-joined'; readonly peer: PeerId; readonly epoch: number; readonly role: PeerRole }
  | {
      readonly type: 'link-measured'
      readonly peer: PeerId
      readonly rttMs: number
      readonly bytesPerMs: number
    }
  | { readonly type: 'peer-suspected'; readonly peer: PeerId }
  | { readonly type: 'peer-trusted'; readonly peer: PeerId }
  | { readonly type: 'peer-left'; readonly peer: PeerId; readonly cause: LeaveCause }

/** Carries scheduler messages between authenticated peers. */
export interface Network {
  /** Best effort; to a peer that is not in the view: dropped. */
  send(to: PeerId, message: Message): void
  onMessage(listener: (from: PeerId, message: Message) => void): Unsubscribe
  onView(listener: (event: ViewEvent) => void): Unsubscribe
}

/** The members' shared records. */
export interface Replica {
  /** Writes this peer's records: one transaction per document, sent once to each neighbour. */
  write(records: readonly ReplicatedRecord[]): void
  /** Other writers' records, each at least once, in writing order per document. */
  onRecords(listener: (records: readonly ReplicatedRecord[]) => void): Unsubscribe
  /** Forgets the job's document and keeps a tombstone, so that nobody resurrects it. */
  dropJob(job: JobId): void
  close(): void
}

/** The processors of this peer. */
export interface ProcessorHost {
  readonly processors: readonly ProcessorRecord[]
  /** Runs calls in order; each ends exactly once through `onEnded`, whatever happens. */
  execute(processor: ProcessorId, calls: readonly Call[]): void
  /** Stops calls; they end as `cancelled` (others in the same worker: as `refused` or `lost`). */
  abort(processor: ProcessorId, callIds: readonly number[]): void
  onEnded(listener: (ended: readonly CallEnded[]) => void): Unsubscribe
  onProcessors(listener: (processors: readonly ProcessorRecord[]) => void): Unsubscribe
  /** What running bodies ask for. */
  onBody(listener: (request: BodyRequest) => void): Unsubscribe
  /** Answers to those requests. */
  childrenAccepted(
    job: JobId,
    parent: AttemptRef,
    accepted: readonly { readonly seq: number; readonly no: number }[],
  ): void
  taskSettled(ref: TaskRef, outcome: Outcome): void
  close(): Promise<void>
}

/** Runs the services that this peer hosts. Instances are numbered by the core, never twice. */
export interface ServiceHost {
  /** This peer may have to host the service soon: fetches its code from `from`, and what else takes time. */
  prepare(spec: ServiceSpec, from: PeerId): void
  /** Somebody else would host it now: undoes {@link prepare}. Unknown services are ignored. */
  unprepare(service: ServiceId): void
  /** Makes an instance, with this state or as its constructor makes it. Answered by one `opened`. */
  open(instance: number, spec: ServiceSpec, state: Payload | null): void
  /** Runs calls one at a time, in order, behind those given before; each ends once in a `ran`, or all in one `died`. */
  run(instance: number, calls: readonly ServiceRun[]): void
  /** Answered by one `snapshot`: the state after the calls given so far. */
  snapshot(instance: number, seq: number): void
  /** Ends the instance; what runs is stopped, and nothing more is told. Unknown numbers are ignored. */
  close(instance: number): void
  onNews(listener: (news: readonly ServiceNews[]) => void): Unsubscribe
  /** What methods ask for. */
  onBody(listener: (request: BodyRequest) => void): Unsubscribe
  /** The answer to `watch`. */
  taskSettled(ref: TaskRef, outcome: Outcome): void
}

export type BodyRequest =
  | {
      readonly type: 'spawn'
      readonly job: JobId
      readonly parent: AttemptRef
      readonly requests: readonly SpawnRequest[]
    }
  /** A method of a service spawns: into a job of this peer, which `seal` completes. */
  | { readonly type: 'seal'; readonly job: JobId }
  | {
      readonly type: 'submit'
      readonly job: JobId
      readonly name: string
      readonly specs: readonly TaskSpec[]
    }
  | { readonly type: 'watch'; readonly refs: readonly TaskRef[] }
  | { readonly type: 'cancel'; readonly ref: TaskRef; readonly reason: string }
  /** A body wants the value of a handle that it was given; `done` is called once. */
  | {
      readonly type: 'chunk'
      readonly chunk: ChunkPayload
      done(value: Payload | null, error: ErrorRecord | null): void
    }
  /** A body puts a value on this peer; `done` is called once, with the chunk, which counts as a handle. */
  | {
      readonly type: 'put'
      readonly value: PackedPayload
      done(chunk: ChunkPayload | null, error: ErrorRecord | null): void
    }
  /** Lets go of what a body put. */
  | { readonly type: 'release'; readonly chunk: ChunkId }
  | { readonly type: 'yield' | 'resume'; readonly callId: number }

/** Carries the replicas' own messages between members that are in each other's view. */
export interface ReplicaNetwork {
  members(): readonly PeerId[]
  /** Ordered and reliable while the peer stays in the view; best effort otherwise. */
  send(to: PeerId, message: Uint8Array): void
  onMessage(listener: (from: PeerId, message: Uint8Array) => void): Unsubscribe
  onMember(listener: (peer: PeerId, isPresent: boolean) => void): Unsubscribe
}

/** Content-addressed operations: known here, or fetched once from another peer and verified. */
export interface OperationStore {
  add(operation: OperationRecord): void
  get(hash: OperationHash): OperationRecord | null
  /**
   * Asks `from`, then other members.
   * @throws ShoalError `E_NO_FUNCTION` when nobody has it in time, `E_CODE_HASH` when the text does not match
   */
  fetch(hash: OperationHash, from: PeerId): Promise<OperationRecord>
}

/** What the core's packages, which know no platform, need of an `AbortSignal`. */
export interface StopSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The bytes of chunks on this peer, and their way here from other peers. */
export interface ChunkStore {
  /**
   * Keeps packed bytes here: in memory, or on disk above the memory limit.
   * @throws ShoalError `E_QUOTA` when there is no room
   */
  put(id: ChunkId, bytes: Uint8Array): Promise<ChunkRef>
  /** Whether all of it is here. */
  has(id: ChunkId): boolean
  /**
   * The bytes, from here, or else from one of `holders` (resumed from another one when a holder goes).
   * Concurrent fetches of one id share one transfer.
   * @throws ShoalError `E_CHUNK_LOST` (nobody has it), `E_HASH` (the bytes do not match), `E_CHUNK_REF` (unknown id)
   */
  fetch(ref: ChunkRef, holders: readonly PeerId[], signal?: StopSignal): Promise<Uint8Array>
  drop(id: ChunkId): void
  /** A copy came to be here, or went. */
  onHeld(listener: (id: ChunkId, isHeld: boolean) => void): Unsubscribe
  readonly stats: ChunkStats
  close(): Promise<void>
}

/** What a chunk store holds and has moved since its start. */
export interface ChunkStats {
  readonly heldBytes: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly movedInBytes: number
  readonly movedOutBytes: number
  /** Of chunks that others have and want: passed on between peers without a link to each other. */
  readonly relayedBytes: number
}
