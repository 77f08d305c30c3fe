import { createBrowserTransport, createWorkerClock, idbDisk, openBrowserPeerStore } from '@shoal/mesh/browser'
import type { Clock } from '@shoal/scheduler'
import { signallingOf } from './invite-address.ts'
import { refuse } from './mesh-options.ts'
import type { Platform } from './platform.ts'
import { startBrowserGpu } from './processors/webgpu/gpu.browser.ts'
import { startBrowserWorker } from './processors/worker.browser.ts'

/** What the page runs in, in one word. */
function browserName(): string {
  const agent = navigator.userAgent
  // Most browsers also claim to be Chrome or Safari: the specific names are asked first.
  const names: readonly (readonly [RegExp, string])[] = [
    [/Edg\//, 'Edge'],
    [/OPR\//, 'Opera'],
    [/Firefox\/|FxiOS\//, 'Firefox'],
    [/Chrome\/|CriOS\/|Chromium\//, 'Chrome'],
    [/Safari\//, 'Safari'],
  ]
  const name = names.find(([pattern]) => pattern.test(agent))?.[1] ?? 'Browser'
  return /Mobi|Android/.test(agent) ? `${name} on a phone` : name
}

let clock: Clock | null = null

/** A browser page: module workers and the browser's own WebRTC. Nothing is touched before it is needed. */
export const browserPlatform: Platform = {
  get clock() {
    clock ??= createWorkerClock()
    return clock
  },
  get cores() {
    return navigator.hardwareConcurrency
  },
  get name() {
    return browserName()
  },
  startWorker: startBrowserWorker,
  get mayHaveGpu() {
    // Absent on pages that are no secure context, whatever the types say.
    return (navigator.gpu as GPU | undefined) !== undefined
  },
  startGpu: startBrowserGpu,
  async openStore(invite, storage) {
    if (storage !== 'auto' && storage !== 'idb') refuse('storage', "'memory' or 'idb' in a browser", storage)
    return openBrowserPeerStore(invite)
  },
  openChunkDisk: idbDisk(),
  async createTransport(invite, listen) {
    if (listen !== 'auto' && listen !== 'none') refuse('listen', "'auto' or 'none' in a browser", listen)
    return createBrowserTransport({ signalling: signallingOf(invite), room: invite.room })
  },
}
