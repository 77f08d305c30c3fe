import type { ChunkId, ChunkPayload } from '../model/chunk.ts'
import type { ErrorRecord } from '../model/errors.ts'
import type { JobId, PeerId, TaskRef } from '../model/ids.ts'
import type { AttemptOutcome, AttemptRef, Message, SliceOutcome, SpawnRequest } from '../model/message.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import type { ReplicatedRecord } from '../model/records.ts'
import type { ServiceNews, ServiceRequest } from '../model/service.ts'
import type { RangeSpec, TaskSpec } from '../model/task.ts'

/** `member`: replicates, submits, owns. `contributor`: only executes. */
export type PeerRole = 'member' | 'contributor'

/** How one call that this peer's processors ran has ended. Every `execute` ends each call once. */
export interface CallEnded {
  readonly callId: number
  /** `lost`: its processor died under it. `refused`: it never started; run it again anywhere. */
  readonly outcome: AttemptOutcome | SliceOutcome
  /** Of a slice: of all its items together. */
  readonly ranMs: number
}

/**
 * Everything that can happen to a scheduler. `at` is the monotonic time of this peer in milliseconds.
 * Names are in the past: the core is told, never asked.
 */
export type Event =
  /** The local user added tasks to a job that this peer owns; the first ones open the job. */
  | {
      readonly type: 'tasks-submitted'
      readonly at: number
      readonly job: JobId
      readonly name: string
      readonly specs: readonly TaskSpec[]
    }
  /** The same for a whole range. */
  | {
      readonly type: 'range-submitted'
      readonly at: number
      readonly job: JobId
      readonly name: string
      readonly range: RangeSpec
    }
  /** The local user will add nothing more to the job: it ends with its last task. */
  | { readonly type: 'job-sealed'; readonly at: number; readonly job: JobId }
  /** The local user cancelled tasks (`nos` null: the whole job), wherever the job's owner is. */
  | {
      readonly type: 'tasks-cancelled'
      readonly at: number
      readonly job: JobId
      readonly nos: readonly number[] | null
      readonly reason: string
    }
  /** Somebody here wants to know how these tasks end: answered by a `settle` effect each. */
  | { readonly type: 'tasks-watched'; readonly at: number; readonly refs: readonly TaskRef[] }
  /** A body that runs here spawned children. */
  | {
      readonly type: 'children-spawned'
      readonly at: number
      readonly job: JobId
      readonly parent: AttemptRef
      readonly requests: readonly SpawnRequest[]
    }
  /** A body that runs here waits for other tasks: its processor may start something else. */
  | { readonly type: 'body-yielded'; readonly at: number; readonly callId: number }
  | { readonly type: 'body-resumed'; readonly at: number; readonly callId: number }
  /** Calls given to `execute` ended. */
  | { readonly type: 'calls-ended'; readonly at: number; readonly ended: readonly CallEnded[] }
  /** What `gather` asked for is here, or cannot be had. */
  | {
      readonly type: 'chunks-gathered'
      readonly at: number
      readonly callId: number
      readonly error: ErrorRecord | null
    }
  /** A handle to a chunk was made here (a value was put, or a reference arrived), and let go of. */
  | { readonly type: 'chunk-opened'; readonly at: number; readonly chunk: ChunkPayload }
  | { readonly type: 'chunk-released'; readonly at: number; readonly chunk: ChunkId }
  /** Somebody here wants the bytes of a chunk: answered by one `chunk-located`. */
  | {
      readonly type: 'chunk-asked'
      readonly at: number
      readonly chunk: ChunkPayload
      /** Those told before did not have it. */
      readonly isAgain: boolean
    }
  /** A copy came to be here, or went, by the store's word. */
  | {
      readonly type: 'chunk-stored'
      readonly at: number
      readonly chunk: ChunkId
      readonly isHeld: boolean
    }
  /** This peer leaves: what others would lose is offered to them; ends in one `chunks-left`. */
  | { readonly type: 'chunks-leaving'; readonly at: number }
  /** The processors of this peer, all of them. */
  | {
      readonly type: 'processors-changed'
      readonly at: number
      readonly processors: readonly ProcessorRecord[]
    }
  | {
      readonly type: 'message-received'
      readonly at: number
      readonly from: PeerId
      readonly message: Message
    }
  /** A peer finished the handshake (again: at a higher epoch). */
  | {
      readonly type: 'peer-joined'
      readonly at: number
      readonly peer: PeerId
      readonly epoch: number
      readonly role: PeerRole
    }
  /** Measured on the link, smoothed by the shell. */
  | {
      readonly type: 'link-measured'
      readonly at: number
      readonly peer: PeerId
      readonly rttMs: number
      readonly bytesPerMs: number
    }
  | { readonly type: 'peer-suspected'; readonly at: number; readonly peer: PeerId }
  | { readonly type: 'peer-trusted'; readonly at: number; readonly peer: PeerId }
  /** `left`: said goodbye. `dead`: did not answer. `fenced`: gave this peer up, and will be met again. */
  | {
      readonly type: 'peer-left'
      readonly at: number
      readonly peer: PeerId
      readonly cause: 'left' | 'dead' | 'fenced'
    }
  /** Records of other members, from the replica; never this peer's own of this start. */
  | { readonly type: 'records-arrived'; readonly at: number; readonly records: readonly ReplicatedRecord[] }
  /** The local user asked for these, in this order. */
  | { readonly type: 'services-asked'; readonly at: number; readonly requests: readonly ServiceRequest[] }
  /** What the services that run here did. */
  | { readonly type: 'services-told'; readonly at: number; readonly news: readonly ServiceNews[] }
  /** This peer is about to leave: its services move to their followers. */
  | { readonly type: 'services-leaving'; readonly at: number }
  /** The clock reached the time that {@link SchedulerState.wakeAt} asked for. */
  | { readonly type: 'time-passed'; readonly at: number }

export type EventOf<T extends Event['type']> = Extract<Event, { readonly type: T }>
