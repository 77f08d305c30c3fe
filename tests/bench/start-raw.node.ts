import { Worker } from 'node:worker_threads'
import type { RawWorker } from './raw.ts'

/** A raw worker of a Node process. */
export function startRawWorker(): RawWorker {
  const worker = new Worker(new URL('./raw-worker.node.js', import.meta.url))
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: (listener) => void worker.on('message', (message) => listener(message as never)),
    end: async () => void (await worker.terminate()),
  }
}
