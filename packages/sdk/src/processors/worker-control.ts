import { startRunner } from './body-runner.ts'
import { measureSpeed } from './calibrate.ts'
import { createModuleLoader } from './module-loader.ts'
import type { WorkerControl } from './protocol.ts'

/** What differs between platforms inside a worker. */
export interface WorkerPlatform {
  moduleUrl(source: string): string
  releaseUrl(url: string): void
  /** Calls back after the messages that wait now. */
  nextTurn(callback: () => void): void
}

/** The control API that a worker's entry exposes. */
export function createWorkerControl(platform: WorkerPlatform): WorkerControl {
  return {
    start(port, config) {
      startRunner(port, config, createModuleLoader(platform), platform.nextTurn)
    },
    ping: () => 'pong',
    calibrate: measureSpeed,
  }
}
