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

/** Entries of a `run` frame's list for each call: callId, operation index, args, extra. */
export const callStride = 4
/** Entries of a `results` frame's list for each call: callId, status, value, microseconds. */
export const resultStride = 4

export const resultStatus = { live: 0, packed: 1, failed: 2, cancelled: 3, refused: 4 } as const

export type ToWorker =
  /** `args`: an array, or the packed bytes of one. */
  | { readonly type: 'run'; readonly calls: readonly unknown[] }
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
  | { readonly type: 'results'; readonly results: readonly unknown[] }
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
