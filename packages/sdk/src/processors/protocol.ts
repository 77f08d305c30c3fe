import type { ErrorRecord, JobId, Need, OperationHash, OperationRecord, TaskRef } from '@shoal/scheduler'

/** How results leave a worker: as values, or packed there so that the main thread need not. */
export type ResultForm = 'live' | 'packed'

export interface WorkerConfig {
  readonly processor: string
  readonly resultForm: ResultForm
  /** One Int32: the call that runs. `null` where memory cannot be shared. */
  readonly progress: SharedArrayBuffer | null
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
  readonly value: WireValue
}

/** A value as it is, or packed. */
export type WireValue = { readonly live: unknown } | { readonly packed: Uint8Array }

/** Calls in columns: numbers cross threads as bytes, and no call costs an object of its own. */
export interface CallFrame {
  /** Doubles, as ids outgrow 32 bits. */
  readonly ids: Float64Array
  /** Of all calls, or of each. */
  readonly operations: number | readonly number[]
  /** Each an array or the packed bytes of one; with `isSingle` each the only argument itself. */
  readonly args: readonly unknown[]
  readonly isSingle: boolean
  /** `null`: no call needs any. */
  readonly extras: readonly (CallExtra | null)[] | null
}

/** Results in columns. */
export interface ResultFrame {
  readonly ids: Float64Array
  /** `null`: all `resultStatus.live`. */
  readonly statuses: readonly number[] | null
  readonly values: readonly unknown[] | Float64Array
  readonly microseconds: Float64Array
}

export const resultStatus = { live: 0, packed: 1, failed: 2, cancelled: 3, refused: 4 } as const

export type ToWorker =
  | { readonly type: 'run'; readonly calls: CallFrame }
  | { readonly type: 'load'; readonly index: number; readonly operation: OperationRecord }
  | { readonly type: 'abort'; readonly callIds: readonly number[] }
  /** Give back all that has not started. */
  | { readonly type: 'drop' }
  | {
      readonly type: 'accepted'
      readonly callId: number
      readonly accepted: readonly { readonly seq: number; readonly no: number }[]
    }
  | { readonly type: 'settled'; readonly ref: TaskRef; readonly outcome: WireOutcome }

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
}

export type FromWorker =
  | { readonly type: 'results'; readonly results: ResultFrame }
  | { readonly type: 'started'; readonly callId: number }
  /** These of an `abort` had started: their bodies were asked to stop. */
  | { readonly type: 'aborting'; readonly callIds: readonly number[] }
  | {
      readonly type: 'spawn'
      readonly callId: number
      readonly job: JobId
      readonly no: number
      readonly attempt: number
      readonly requests: readonly WireSpawn[]
      /** Code that the host has not seen from this worker. */
      readonly operations: readonly OperationRecord[]
    }
  | { readonly type: 'watch'; readonly refs: readonly TaskRef[] }
  | { readonly type: 'cancel'; readonly ref: TaskRef; readonly reason: string }
  | { readonly type: 'yield' | 'resume'; readonly callId: number }
  | { readonly type: 'progress'; readonly callId: number; readonly fraction: number }
