import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from '../model/ids.ts'
import type { AssignmentInput, AttemptRef, Message } from '../model/message.ts'
import type { Payload } from '../model/payload.ts'
import type { ReplicatedRecord } from '../model/records.ts'
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
  readonly inputs: readonly AssignmentInput[]
  /** 0 = no limit. A call with a limit is always executed alone. */
  readonly timeoutMs: number
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

/** Everything that a scheduler can ask of its shell, in the order in which it must happen. */
export type Effect =
  | { readonly type: 'send'; readonly to: PeerId; readonly message: Message }
  /** Run these in order on one local processor; each ends in exactly one `calls-ended` entry. */
  | { readonly type: 'execute'; readonly processor: ProcessorId; readonly calls: readonly Call[] }
  /** Stop these (the processor may have to be replaced). Each still ends in `calls-ended`. */
  | { readonly type: 'abort-calls'; readonly processor: ProcessorId; readonly calls: readonly number[] }
  /** Replicate: lane records into this peer's lane, job records into the job's document. */
  | { readonly type: 'write'; readonly records: readonly ReplicatedRecord[] }
  /** Tell whoever watches: once for each watched task, except that a partition's heal may correct it. */
  | {
      readonly type: 'settle'
      readonly outcomes: readonly { readonly ref: TaskRef; readonly outcome: Outcome }[]
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
  | { readonly type: 'notify'; readonly notice: Notice }

export type EffectOf<T extends Effect['type']> = Extract<Effect, { readonly type: T }>
