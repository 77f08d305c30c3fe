import type { Endpoint } from 'comlink'

/** A worker of some platform, just started. */
export interface WorkerHandle {
  /** Where the worker exposes its control API. */
  readonly endpoint: Endpoint
  /** The worker ended by itself or could not start. At most once, and never after `terminate`. */
  onDeath(listener: (reason: string) => void): void
  /** Ends it whatever it does. Idempotent. */
  terminate(): void
  /** `false`: an idle worker must not keep the process alive. */
  setBusy(isBusy: boolean): void
}
