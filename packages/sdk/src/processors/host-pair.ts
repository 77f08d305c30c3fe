import type { ProcessorHost, ProcessorId, ProcessorRecord, Unsubscribe } from '@shoal/scheduler'
import type { Lending } from '../types.ts'
import type { GpuHost } from './webgpu/gpu-host.ts'
import type { WorkerHost } from './worker-host.ts'

/** Everything that a peer lends: its workers, and its GPU. */
export interface PeerHost extends ProcessorHost, Lending, Pick<WorkerHost, 'callServices' | 'ready'> {
  /** What is less than it was asked to be, for people. */
  reasons(): readonly string[]
}

/**
 * Joins a peer's hosts to one.
 * @param mode `'auto'`: the GPU is lent together with workers; `true`: always
 */
export function joinHosts(workers: WorkerHost, gpu: GpuHost | null, mode: 'auto' | true): PeerHost {
  if (gpu === null) return Object.assign(workers, { reasons: () => [] })
  const hostOf = (processor: ProcessorId): ProcessorHost =>
    gpu.processors.some(({ id }) => id === processor) ? gpu : workers
  const lendGpu = (): void => gpu.lendGpu(mode === true || workers.workers > 0)
  const all = (): readonly ProcessorRecord[] => [...workers.processors, ...gpu.processors]
  lendGpu()
  return {
    get processors() {
      return all()
    },
    get workers() {
      return workers.workers
    },
    lend(count) {
      const done = workers.lend(count)
      lendGpu()
      return done
    },
    reasons: () => (mode === true && gpu.absence !== null ? [`no GPU to lend: ${gpu.absence}`] : []),
    execute: (processor, calls) => hostOf(processor).execute(processor, calls),
    abort(processor, callIds) {
      // Each leaves alone what it does not know; the GPU may have left the profile meanwhile.
      gpu.abort(processor, callIds)
      workers.abort(processor, callIds)
    },
    onEnded: (listener) => both(workers.onEnded(listener), gpu.onEnded(listener)),
    onProcessors(listener) {
      const tell = (): void => listener(all())
      return both(workers.onProcessors(tell), gpu.onProcessors(tell))
    },
    onBody: (listener) => workers.onBody(listener),
    childrenAccepted: (job, parent, accepted) => workers.childrenAccepted(job, parent, accepted),
    taskSettled: (ref, outcome) => workers.taskSettled(ref, outcome),
    ready: () => workers.ready(),
    callServices: (...parts) => workers.callServices(...parts),
    async close() {
      await Promise.all([workers.close(), gpu.close()])
    },
  }
}

function both(first: Unsubscribe, second: Unsubscribe): Unsubscribe {
  return () => {
    first()
    second()
  }
}
