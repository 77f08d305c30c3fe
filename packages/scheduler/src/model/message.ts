import type { ChunkId, ChunkPayload } from './chunk.ts'
import type { ErrorRecord } from './errors.ts'
import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from './ids.ts'
import type { Payload, RangeItems, RangeValues } from './payload.ts'
import type { OutcomeRecord, PeerProfile } from './records.ts'
import type { ServiceId, ServiceMessage } from './service.ts'
import type { ChunkNeed, Need, TaskOptionsRecord } from './task.ts'

/** A task handed to a processor. `attempt` is unique within the job, over all epochs. */
export interface Assignment {
  readonly no: number
  readonly attempt: number
  readonly processor: ProcessorId
  readonly operation: OperationHash
  readonly args: Payload
  /** Values of the tasks it needed, with the argument index that each fills. */
  readonly inputs: readonly AssignmentInput[]
  /** 0 = no limit. */
  readonly timeoutMs: number
  /** The lost chunk that the result is to make again. Absent: a big result becomes a new one. */
  readonly remakes?: ChunkId
}

/** Several items of a range as one attempt; `no` is the first one's, and `args` stands for nothing. */
export interface SliceAssignment extends Assignment {
  readonly items: RangeItems
}

export interface AssignmentInput {
  readonly index: number
  readonly value: Payload
}

/** How one attempt ended where it ran. */
export interface AttemptResult {
  readonly no: number
  readonly attempt: number
  /** Tasks of the attempt. Absent: one. */
  readonly count?: number
  readonly outcome: AttemptOutcome | SliceOutcome
  /** Time in the body, in milliseconds; feeds the owner's estimates. */
  readonly ranMs: number
}

/**
 * `lost`: the processor died under it. `refused`: it never ran (unknown processor, shutdown). `unfed`: it
 * never ran as a chunk that it needs could not be had.
 */
export type AttemptOutcome =
  | { readonly status: 'done'; readonly value: Payload }
  | { readonly status: 'failed'; readonly error: ErrorRecord }
  | { readonly status: 'cancelled'; readonly reason: string }
  | { readonly status: 'lost' }
  | { readonly status: 'refused' }
  | { readonly status: 'unfed'; readonly error: ErrorRecord }

/** How a call of a slice ended, when its items ran. */
export interface SliceOutcome {
  readonly status: 'sliced'
  /** Of the first items, one at least: those behind them have not started. */
  readonly values: RangeValues
  /** Items that threw, or whose value is a chunk: what stands among the values for them means nothing. */
  readonly apart: readonly SliceItem[]
}

export interface SliceItem {
  readonly index: number
  readonly outcome: Extract<AttemptOutcome, { readonly status: 'done' | 'failed' }>
}

/** An attempt that is at a processor, queued or running. */
export interface RunningAttempt extends AttemptRef {
  readonly processor: ProcessorId
  /** Tasks of the attempt. Absent: one. */
  readonly count?: number
}

export interface AttemptRef {
  readonly no: number
  readonly attempt: number
}

/** A task that a running body asks its owner to add. */
export interface SpawnRequest {
  readonly seq: number
  readonly operation: OperationHash
  readonly args: Payload
  readonly needs: readonly Need[]
  /** Absent: none. */
  readonly chunks?: readonly ChunkNeed[]
  readonly options: TaskOptionsRecord
}

/**
 * What schedulers say to each other. Every message may be lost, doubled, delayed or reordered:
 * the periodic audit (SPEC RC6) repairs what that breaks.
 */
export type Message =
  /** Any peer: what I am and lend. Sent after hello and on change. */
  | {
      readonly type: 'profile'
      readonly profile: PeerProfile
      /** The sender has not had the receiver's: send it (again). */
      readonly wantsYours: boolean
    }
  /** Owner to executor: run these. */
  | {
      readonly type: 'assign'
      readonly job: JobId
      readonly epoch: number
      readonly tasks: readonly Assignment[]
    }
  /** Owner to executor: give these back if they have not started. */
  | {
      readonly type: 'revoke'
      readonly job: JobId
      readonly epoch: number
      readonly attempts: readonly AttemptRef[]
    }
  /** Owner to executor: stop these, started or not. */
  | {
      readonly type: 'abort'
      readonly job: JobId
      readonly epoch: number
      readonly attempts: readonly AttemptRef[]
    }
  /** Owner to executor: I have written these down; forget them. */
  | {
      readonly type: 'commit'
      readonly job: JobId
      readonly epoch: number
      readonly attempts: readonly AttemptRef[]
    }
  /** New owner to everybody: what of this job do you run or hold? */
  | { readonly type: 'adopt'; readonly job: JobId; readonly epoch: number }
  /** Owner to executor, now and then: do you still have these? */
  | {
      readonly type: 'audit'
      readonly job: JobId
      readonly epoch: number
      readonly attempts: readonly AttemptRef[]
    }
  /** Executor to owner. */
  | {
      readonly type: 'results'
      readonly job: JobId
      readonly epoch: number
      readonly results: readonly AttemptResult[]
    }
  | {
      readonly type: 'revoked'
      readonly job: JobId
      readonly epoch: number
      readonly attempts: readonly AttemptRef[]
    }
  /** Executor's answer to `adopt` and `audit`: running or queued here, and results not committed yet. */
  | {
      readonly type: 'holdings'
      readonly job: JobId
      readonly epoch: number
      readonly running: readonly RunningAttempt[]
      readonly results: readonly AttemptResult[]
      /** Attempts of the audit that this peer knows nothing of. */
      readonly unknown: readonly AttemptRef[]
    }
  /** Executor to an older owner: somebody owns this job at a higher epoch. */
  | { readonly type: 'stale'; readonly job: JobId; readonly epoch: number }
  /** Body to owner: add these children of a running attempt. Repeated until answered. */
  | {
      readonly type: 'submit'
      readonly job: JobId
      readonly parent: AttemptRef
      readonly requests: readonly SpawnRequest[]
    }
  | {
      readonly type: 'submitted'
      readonly job: JobId
      readonly parent: AttemptRef
      readonly accepted: readonly { readonly seq: number; readonly no: number }[]
    }
  /** Anybody to owner: tell me how these end. Repeated until answered. */
  | { readonly type: 'watch'; readonly job: JobId; readonly nos: readonly number[] }
  | { readonly type: 'outcomes'; readonly job: JobId; readonly outcomes: readonly OutcomeRecord[] }
  /** Anybody to owner: cancel these (all of the job when `nos` is null). */
  | {
      readonly type: 'cancel'
      readonly job: JobId
      readonly nos: readonly number[] | null
      readonly reason: string
    }
  /** What concerns one service. */
  | { readonly type: 'service'; readonly service: ServiceId; readonly body: ServiceMessage }
  /** Holder to whoever it keeps copies for: these. Now and then, and after a takeover. */
  | { readonly type: 'holds'; readonly chunks: readonly KeptChunk[]; readonly isAll: boolean }
  /** Its answer, or unasked: I need no copy of these any more. */
  | { readonly type: 'free'; readonly chunks: readonly ChunkId[] }
  /** A peer with handles to whoever tracks the chunk. Repeated until answered by `located`. */
  | { readonly type: 'want'; readonly chunk: ChunkPayload; readonly wish: ChunkWish }
  /** The answer. `error`: there is no copy, and none can be made. */
  | {
      readonly type: 'located'
      readonly chunk: ChunkId
      readonly wish: ChunkWish
      readonly holders: readonly PeerId[]
      readonly error: ErrorRecord | null
    }

/** A copy that a peer keeps, and the task whose result it is. */
export interface KeptChunk {
  readonly id: ChunkId
  readonly task: TaskRef | null
}

/** `keep`: I have handles. `find`: I want the bytes, too: make them again if need be. `release`: no handles any more. */
export type ChunkWish = 'keep' | 'find' | 'release' | 'take'

export type MessageOf<T extends Message['type']> = Extract<Message, { readonly type: T }>

/** The key under which an attempt is known on a peer. */
export function attemptKey(job: JobId, ref: AttemptRef): string {
  return `${job}/${ref.no}:${ref.attempt}`
}

export type { TaskRef }
