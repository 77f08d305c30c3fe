import type { ChunkId, ChunkPayload } from '../model/chunk.ts'
import type { ErrorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from '../model/ids.ts'
import type { AssignmentInput, AttemptRef, Message } from '../model/message.ts'
import type { Payload, RangeItems } from '../model/payload.ts'
import type { ReplicatedRecord } from '../model/records.ts'
import type { ServiceAnswer, ServiceEnd, ServiceId, ServiceRun, ServiceSpec } from '../model/service.ts'
import type { Outcome } from '../model/task.ts'

/** One invocation of an operation on a local processor. */
export interface Call {
  /** Unique on this peer. */
  readonly callId: number
  readonly job: JobId
  readonly no: number
  readonly attempt: number
  readonly operation: OperationHash
  readonly args: Payload
  /** A slice: run each of these, in order, instead of `args`. `no` is the first one's. */
  readonly items: RangeItems | null
  readonly inputs: readonly AssignmentInput[]
  /** 0 = no limit. A call with a limit is always executed alone. */
  readonly timeoutMs: number
  /** The lost chunk that the result is to make again. Absent: a big result becomes a new one. */
  readonly remakes?: ChunkId
  /** The peer to ask for the operation's code when it is not known here. */
  readonly owner: PeerId
}

/** Something that people or pages may want to know; never needed for the work itself. */
export type Notice =
  | {
      readonly type: 'task-assigned' | 'task-done' | 'task-failed' | 'task-cancelled' | 'task-retried'
      readonly task: TaskRef
      readonly peer: PeerId | null
      readonly processor: ProcessorId | null
    }
  | { readonly type: 'owner-changed'; readonly job: JobId; readonly owner: PeerId; readonly epoch: number }
  | { readonly type: 'job-opened' | 'job-ended' | 'job-dropped'; readonly job: JobId; readonly name: string }
  | { readonly type: 'starved'; readonly job: JobId; readonly scope: string; readonly waiting: number }

/** What happened to a service, for pages and people. */
export type ServiceNotice =
  | {
      readonly type: 'moved'
      readonly service: ServiceId
      readonly name: string | null
      readonly host: PeerId
      readonly epoch: number
    }
  | {
      readonly type: 'ended'
      readonly service: ServiceId
      readonly name: string | null
      readonly reason: ServiceEnd
    }

/** Everything that a scheduler can ask of its shell, in the order in which it must happen. */
export type Effect =
  | { readonly type: 'send'; readonly to: PeerId; readonly message: Message }
  /** Run these in order on one local processor; each ends in exactly one `calls-ended` entry. */
  | { readonly type: 'execute'; readonly processor: ProcessorId; readonly calls: readonly Call[] }
  /** Bring these chunks here for a call to come; ends in one `chunks-gathered`. */
  | { readonly type: 'gather'; readonly callId: number; readonly chunks: readonly ChunkPayload[] }
  | { readonly type: 'stop-gather'; readonly callId: number }
  /** Nobody needs the copy that is here. */
  | { readonly type: 'drop-chunk'; readonly chunk: ChunkId }
  /** The answer to `chunk-asked`: who has it, or why nobody ever will. */
  | {
      readonly type: 'chunk-located'
      readonly chunk: ChunkId
      readonly holders: readonly PeerId[]
      readonly error: ErrorRecord | null
    }
  /** Bring a chunk here that a peer which leaves has offered. */
  | { readonly type: 'fetch-chunk'; readonly chunk: ChunkPayload }
  /** The answer to `chunks-leaving`: all that was offered is taken, or nothing was. */
  | { readonly type: 'chunks-left' }
  /** Stop these (the processor may have to be replaced). Each still ends in `calls-ended`. */
  | { readonly type: 'abort-calls'; readonly processor: ProcessorId; readonly calls: readonly number[] }
  /** Replicate: lane records into this peer's lane, job records into the job's document. */
  | { readonly type: 'write'; readonly records: readonly ReplicatedRecord[] }
  /** Tell whoever watches: once for each watched task, except that a partition's heal may correct it. */
  | {
      readonly type: 'settle'
      readonly outcomes: readonly { readonly ref: TaskRef; readonly outcome: Outcome }[]
    }
  /** The same for `count` tasks from `ref` on; done, they carry `RangeValues`. */
  | {
      readonly type: 'settle-slice'
      readonly ref: TaskRef
      readonly count: number
      readonly outcome: Outcome
    }
  /** The owner took these children of a local body. */
  | {
      readonly type: 'children-accepted'
      readonly job: JobId
      readonly parent: AttemptRef
      readonly accepted: readonly { readonly seq: number; readonly no: number }[]
    }
  /** Forget the job's document. */
  | { readonly type: 'drop-job'; readonly job: JobId }
  /** Get ready to host this (its code, perhaps a worker): this peer may have to soon. `from` has the code. */
  | { readonly type: 'prepare-service'; readonly spec: ServiceSpec; readonly from: PeerId }
  | { readonly type: 'unprepare-service'; readonly service: ServiceId }
  /** Make an instance of the service; answered by `opened`. */
  | {
      readonly type: 'open-service'
      readonly instance: number
      readonly spec: ServiceSpec
      /** `null`: only the constructor. */
      readonly state: Payload | null
    }
  /** Run these one after the other, behind what was given before. */
  | { readonly type: 'run-service'; readonly instance: number; readonly calls: readonly ServiceRun[] }
  /** Give the state after call `seq`, which is the last one that was given. */
  | { readonly type: 'snapshot-service'; readonly instance: number; readonly seq: number }
  /** End the instance: nothing more is heard of it. */
  | { readonly type: 'close-service'; readonly instance: number }
  | { readonly type: 'answer-requests'; readonly answers: readonly ServiceAnswer[] }
  | { readonly type: 'notify-service'; readonly notice: ServiceNotice }
  /** Everything hosted here has moved, or cannot: this peer may go. */
  | { readonly type: 'services-left' }
  | { readonly type: 'notify'; readonly notice: Notice }

export type EffectOf<T extends Effect['type']> = Extract<Effect, { readonly type: T }>
