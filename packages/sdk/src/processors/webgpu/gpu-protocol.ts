import type { ErrorRecord, OperationHash } from '@shoal/scheduler'
import type { KernelSpec } from '../../code/index.ts'
import type { ResultForm, WireInput, WireValue } from '../protocol.ts'

/** What the thread or process of a GPU is told. */
export type ToGpu =
  | { readonly type: 'start'; readonly resultForm: ResultForm }
  | { readonly type: 'load'; readonly hash: OperationHash; readonly spec: KernelSpec }
  | {
      readonly type: 'run'
      readonly callId: number
      readonly hash: OperationHash
      readonly args: WireValue
      readonly inputs: readonly WireInput[]
    }
  /** Do not start this one: nobody waits for it any more. */
  | { readonly type: 'drop'; readonly callId: number }

/** What it says. After `absent` and `lost` it is of no use any more. */
export type FromGpu =
  | { readonly type: 'ready'; readonly score: number }
  | { readonly type: 'absent'; readonly reason: string }
  | { readonly type: 'lost'; readonly reason: string }
  | {
      readonly type: 'ended'
      readonly callId: number
      readonly result: { readonly value: WireValue } | { readonly error: ErrorRecord }
      readonly ranMs: number
    }

/** A GPU's own thread (browsers) or process (Node), just started. */
export interface GpuHandle {
  post(message: ToGpu): void
  onMessage(listener: (message: FromGpu) => void): void
  /** It ended by itself or could not start. At most once, and never after `terminate`. */
  onDeath(listener: (reason: string) => void): void
  /** Ends it whatever it does. Idempotent. */
  terminate(): void
  /** `false`: an idle GPU must not keep the process alive. */
  setBusy(isBusy: boolean): void
}
