import { workersOf } from './mesh-options.ts'
import type { Platform } from './platform.ts'
import {
  createGpuHost,
  createWorkerHost,
  joinHosts,
  type PeerHost,
  type WorkerHostOptions,
} from './processors/index.ts'
import type { MeshOptions } from './types.ts'

/** Starts what this peer lends, as its options say. */
export function openPeerHost(
  platform: Platform,
  options: MeshOptions,
  parts: Pick<WorkerHostOptions, 'peer' | 'operations' | 'resultForm' | 'failsUnstarted'>,
): PeerHost {
  const count = workersOf(options, platform)
  const workers = createWorkerHost({ ...parts, count, startWorker: () => platform.startWorker() })
  const mode = options.gpu ?? 'auto'
  if (mode === false || (mode === 'auto' && !platform.mayHaveGpu)) return joinHosts(workers, null, 'auto')
  const gpu = createGpuHost({ ...parts, startGpu: () => platform.startGpu() })
  return joinHosts(workers, gpu, mode)
}
