import { type ResourceLimits, Worker } from 'node:worker_threads'
import { nodeEndpoint } from './node-endpoint.ts'
import type { WorkerHandle } from './worker-handle.ts'
import { bundleEntry } from './worker-source.node.ts'

export interface NodeWorkerOptions {
  /** Limits of the worker's JavaScript heap; buffers are not covered. Default: Node's own. */
  readonly resourceLimits?: ResourceLimits
}

/** Starts one worker thread. From sources its entry is bundled first. */
export function startNodeWorker(options: NodeWorkerOptions = {}): WorkerHandle {
  const limits = options.resourceLimits === undefined ? {} : { resourceLimits: options.resourceLimits }
  const worker = import.meta.url.endsWith('.ts')
    ? new Worker(bundleEntry('./worker-entry.node.ts'), { ...limits, eval: true, execArgv: [] })
    : new Worker(new URL('./worker-entry.node.js', import.meta.url), { ...limits, execArgv: [] })
  let isOver = false
  let listener: ((reason: string) => void) | null = null
  const end = (reason: string): void => {
    if (isOver) return
    isOver = true
    listener?.(reason)
  }
  worker.on('error', (error) => end(error instanceof Error ? error.message : String(error)))
  worker.on('messageerror', (error) => end(error.message))
  worker.on('exit', (code) => end(`exit code ${code}`))
  const endpoint = nodeEndpoint(worker)
  worker.unref()
  return {
    endpoint,
    onDeath(next) {
      listener = next
    },
    terminate() {
      isOver = true
      void worker.terminate()
    },
    setBusy(isBusy) {
      if (isBusy) worker.ref()
      else worker.unref()
    },
  }
}
