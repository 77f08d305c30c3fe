import type {
  ErrorRecord,
  JobId,
  Need,
  OperationHash,
  OperationRecord,
  TaskOptionsRecord,
  TaskRef,
} from '@shoal/scheduler'
import type { Apart, Row } from '../values/index.ts'
import type { PackedRow } from './packed-row.ts'

/** How results leave a worker: as values, or packed there so that the main thread need not. */
export type ResultForm = 'live' | 'packed'

export interface WorkerConfig {
  readonly processor: string
  readonly resultForm: ResultForm
  /** One Int32: the call that runs. `null` where memory cannot be shared. */
  readonly progress: SharedArrayBuffer | null
  /** A call that waits keeps its place: the next one starts when it has ended. For services. */
  readonly isSerial: boolean
}

/** The control API of a worker, over Comlink. Work goes over the port that `start` hands in. */
export interface WorkerControl {
  start(port: MessagePort, config: WorkerConfig): void
  ping(): 'pong'
  /** Runs a fixed loop for some 20 ms; gives its speed relative to the reference worker. */
  calibrate(): number
}

/** What only some calls need. */
export interface CallExtra {
  readonly job: JobId
  readonly no: number
  readonly attempt: number
  /** Tell when the body starts. */
  readonly isTimed: boolean
  readonly inputs: readonly WireInput[]
}

export interface WireInput {
  readonly index: number
  readonly value: WireValue | { readonly apart: Apart }
}

/** A value as it is, or packed. */
export type WireValue = { readonly live: unknown } | { readonly packed: Uint8Array }

/** Calls in columns: numbers cross threads as bytes, and no call costs an object of its own. */
export interface CallFrame {
  readonly ids: NumberColumn
  /** Of all calls, or of each. */
  readonly operations: number | readonly number[]
  /** Each an array or a packed one, its bytes or taken apart; with `isSingle` each the only argument itself. */
  readonly args: readonly unknown[]
  readonly isSingle: boolean
  /** `null`: no call needs any. */
  readonly extras: readonly (CallExtra | null)[] | null
}

/** Results in columns. */
export interface ResultFrame {
  readonly ids: NumberColumn
  /** `null`: all `resultStatus.live`. */
  readonly statuses: readonly number[] | null
  readonly values: readonly unknown[] | Float64Array
  readonly microseconds: NumberColumn
}

/**
 * A {@link CallFrame} on its way. Only calls go to a worker as lists: field names would travel with every
 * message, and cost a round trip a third of its time.
 */
export type WireCalls = readonly [
  ids: NumberColumn,
  operations: CallFrame['operations'],
  args: readonly unknown[],
  isSingle: boolean,
  extras: CallFrame['extras'],
]

/** One call with one plain argument. Lists within a list would cost as much as all else in it. */
export type WireCall = readonly [callId: number, operation: number, argument: unknown]

/** One call of a method of a service, with scalars as arguments. */
export type WireMethodCall = readonly [
  callId: number,
  method: string,
  operation: number,
  ...args: readonly unknown[],
]

/** A {@link ResultFrame} on its way. Only results come from a worker as lists. */
export type WireResults = readonly [
  ids: NumberColumn,
  statuses: ResultFrame['statuses'],
  values: ResultFrame['values'],
  microseconds: NumberColumn,
]

/** One result. */
export type WireResult = readonly [callId: number, status: number, value: unknown, microseconds: number]

/** Tells one call or result from a frame of them. */
export function isOne(message: WireCall | WireMethodCall | WireCalls): message is WireCall | WireMethodCall
export function isOne(message: WireResult | WireResults): message is WireResult
export function isOne(message: readonly unknown[]): boolean {
  return typeof message[0] === 'number'
}

/** Tells one call of a method from one of an operation. */
export function isMethodCall(message: WireCall | WireMethodCall): message is WireMethodCall {
  return typeof message[1] === 'string'
}

export function toWireCalls({ ids, operations, args, isSingle, extras }: CallFrame): WireCalls {
  return [ids, operations, args, isSingle, extras]
}

export function fromWireCalls([ids, operations, args, isSingle, extras]: WireCalls): CallFrame {
  return { ids, operations, args, isSingle, extras }
}

export function toWireResults({ ids, statuses, values, microseconds }: ResultFrame): WireResults {
  return [ids, statuses, values, microseconds]
}

export function fromWireResults([ids, statuses, values, microseconds]: WireResults): ResultFrame {
  return { ids, statuses, values, microseconds }
}

/** Numbers on their way: as bytes where there are many, as a list where a buffer would cost more. */
export type NumberColumn = readonly number[] | Float64Array

/** From this many numbers on a buffer is cheaper than a list. */
const bufferedFrom = 16

/** Doubles, as ids outgrow 32 bits. */
export function toColumn(numbers: readonly number[]): NumberColumn {
  return numbers.length < bufferedFrom ? numbers : new Float64Array(numbers)
}

export const resultStatus = { live: 0, packed: 1, failed: 2, cancelled: 3, refused: 4 } as const

/** A slice on its way. */
export interface WireSlice {
  readonly type: 'slice'
  readonly callId: number
  /** Index of a loaded operation. */
  readonly operation: number
  readonly items: Row | PackedRow
  /** Each item is the only argument of its call, otherwise the list of its arguments. */
  readonly isSingle: boolean
}

/** How the items of a slice ended: the first ones, the others have not started. */
export interface WireSliced {
  readonly type: 'sliced'
  readonly callId: number
  readonly values: Row | PackedRow
  /** Indices of values that are packed, where not all are. */
  readonly packed: readonly number[]
  /** Packed values that are too big to travel with the others, which have something empty in their place. */
  readonly big: readonly { readonly index: number; readonly value: Uint8Array }[]
  /** Items that threw. */
  readonly failed: readonly { readonly index: number; readonly error: ErrorRecord }[]
  /** Of all together. */
  readonly microseconds: number
}

export type ToWorker =
  | WireCall
  | WireMethodCall
  | WireCalls
  | WireSlice
  | { readonly type: 'load'; readonly index: number; readonly operation: OperationRecord }
  | { readonly type: 'abort'; readonly callIds: readonly number[] }
  /** Give back all that has not started. */
  | { readonly type: 'drop' }
  | {
      readonly type: 'accepted'
      readonly callId: number
      readonly job: JobId
      readonly accepted: readonly { readonly seq: number; readonly no: number }[]
    }
  | { readonly type: 'settled'; readonly ref: TaskRef; readonly outcome: WireOutcome }
  | {
      readonly type: 'chunk'
      readonly key: number
      /** Packed, or the packed reference of what was put; `null`: there is an error. */
      readonly value: Uint8Array | null
      readonly error: ErrorRecord | null
    }
  | { readonly type: 'answered'; readonly seq: number; readonly answer: WireAnswer }

/** How a body's call of a service ended. */
export type WireAnswer =
  | { readonly status: 'done'; readonly value: WireValue }
  | { readonly status: 'failed'; readonly error: ErrorRecord }

export type WireOutcome =
  | { readonly status: 'done'; readonly value: WireValue }
  | {
      readonly status: 'failed'
      readonly error: ErrorRecord
      readonly origin: TaskRef
      readonly attempts: number
      readonly peer: string | null
    }
  | { readonly status: 'cancelled'; readonly reason: string }

export interface WireSpawn {
  readonly seq: number
  readonly operation: OperationHash
  readonly args: WireValue
  readonly needs: readonly Need[]
  /** Chunks among the arguments, as packed references. */
  readonly chunks: readonly { readonly index: number; readonly chunk: Uint8Array }[]
  readonly options: TaskOptionsRecord
}

/** Everything but results. */
export type WorkerNotice =
  | { readonly type: 'started'; readonly callId: number }
  /** These of an `abort` had started: their bodies were asked to stop. */
  | { readonly type: 'aborting'; readonly callIds: readonly number[] }
  | {
      readonly type: 'spawn'
      readonly callId: number
      /** The call that runs, which is another one where a service kept its context; 0: none. */
      readonly within: number
      readonly job: JobId
      readonly no: number
      readonly attempt: number
      readonly requests: readonly WireSpawn[]
      /** Code that the host has not seen from this worker. */
      readonly operations: readonly OperationRecord[]
    }
  | { readonly type: 'watch'; readonly refs: readonly TaskRef[] }
  /**
   * The body wants the value of a chunk: its packed reference. Or it puts a packed value, and wants the reference.
   * Answered under the same `key`, which counts per worker.
   */
  | {
      readonly type: 'chunk' | 'put'
      readonly callId: number
      readonly key: number
      readonly bytes: Uint8Array
    }
  | { readonly type: 'cancel'; readonly ref: TaskRef; readonly reason: string }
  | { readonly type: 'yield' | 'resume'; readonly callId: number }
  | { readonly type: 'progress'; readonly callId: number; readonly fraction: number }
  /** A body calls a service; answered under the same `seq`, which counts per worker. */
  | {
      readonly type: 'call-service'
      readonly callId: number
      readonly seq: number
      readonly service: string
      readonly method: string
      readonly args: WireValue
    }

export type FromWorker = WireResult | WireResults | WireSliced | WorkerNotice
