import type { ChunkPayload } from './chunk.ts'
import type { ErrorRecord } from './errors.ts'
import type { OperationHash, ProcessorId, TaskRef } from './ids.ts'
import type { Payload, RangeItems } from './payload.ts'
import type { Scope } from './scope.ts'

/** An input that another task makes. `index` is the argument it fills; -1 = only the order matters. */
export interface Need {
  readonly index: number
  readonly task: TaskRef
}

/** A chunk among the arguments. `index` is the argument it fills; -1 = it lies inside one, as a handle. */
export interface ChunkNeed {
  readonly index: number
  readonly chunk: ChunkPayload
}

/** What decides where, when and how often a task runs. One frozen object serves many tasks. */
export interface TaskOptionsRecord {
  /** Shown in messages, events and pictures; `null`: the operation's name. */
  readonly name: string | null
  readonly scope: Scope
  /** Higher runs first; default 0. */
  readonly priority: number
  /** Executions after the first, when the body threw; default 0. */
  readonly retryMax: number
  /** Pause before each retry, in milliseconds; default 0. */
  readonly retryBackoffMs: number
  /** Longest run of one attempt, in milliseconds from its start; 0 = no limit. */
  readonly timeoutMs: number
}

/** Names one spawn call inside a running body, so that a repeated request is one task. */
export interface ParentRef {
  readonly no: number
  readonly attempt: number
  readonly seq: number
}

/** What a task is: everything that another peer needs to run it. Never changes. */
export interface TaskSpec {
  readonly no: number
  readonly operation: OperationHash
  /** Packed or live array of the plain arguments; holes where {@link TaskSpec.needs} fill in. */
  readonly args: Payload
  readonly needs: readonly Need[]
  /** Absent: none. */
  readonly chunks?: readonly ChunkNeed[]
  readonly options: TaskOptionsRecord
  readonly parent: ParentRef | null
}

/** Tasks in a row that differ in their numbers and their arguments alone. */
export interface RangeSpec {
  /** Number of the first task; the others follow. */
  readonly first: number
  readonly operation: OperationHash
  readonly options: TaskOptionsRecord
  readonly items: RangeItems
}

/** How a task ended. */
export type Outcome =
  | {
      readonly status: 'done'
      readonly value: Payload
      /** Where the winning attempt ran. */
      readonly processor: ProcessorId | null
    }
  | {
      readonly status: 'failed'
      readonly error: ErrorRecord
      /** The task whose body failed; differs from the task itself when an input failed. */
      readonly origin: TaskRef
      /** Executions of the origin. */
      readonly attempts: number
      /** Where the origin ran last: a peer id, or `null` when its body never ran. */
      readonly peer: string | null
    }
  | { readonly status: 'cancelled'; readonly reason: string }

/** No needs: shared, so that a task without inputs costs no array. */
export const noNeeds: readonly Need[] = Object.freeze([])

/** The options of a task that asked for nothing. */
export const defaultTaskOptions: TaskOptionsRecord = Object.freeze({
  name: null,
  scope: Object.freeze({ type: 'default' }) as Scope,
  priority: 0,
  retryMax: 0,
  retryBackoffMs: 0,
  timeoutMs: 0,
})
