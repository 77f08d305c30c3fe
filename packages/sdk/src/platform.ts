import type { Invite, OpenDisk, PeerStore } from '@shoal/mesh'
import type { Clock, Transport } from '@shoal/scheduler'
import type { GpuHandle } from './processors/webgpu/gpu-protocol.ts'
import type { WorkerHandle } from './processors/worker-handle.ts'

/** What differs between a browser page and a Node process. */
export interface Platform {
  readonly clock: Clock
  /** Processors of this machine, as far as the platform tells. */
  readonly cores: number
  /** A name for people, the same at every start. */
  readonly name: string
  startWorker(): WorkerHandle
  /** Whether there may be a GPU: looking for one then is worth a thread or a process. */
  readonly mayHaveGpu: boolean
  startGpu(): GpuHandle
  /**
   * Opens what this platform keeps for the room.
   * @param storage of the mesh options, but for `'memory'`
   * @returns `null` when it keeps nothing unless it is told where
   * @throws ShoalError `E_OPTION` when the platform has no such storage; `E_STORAGE`, `E_STORAGE_DENIED` or
   *   `E_QUOTA` when it cannot be used
   */
  openStore(invite: Invite, storage: string): Promise<PeerStore | null>
  /** Where chunks go for which there is no room in memory. */
  readonly openChunkDisk: OpenDisk
  /**
   * The way to the peers of the room that `invite` names.
   * @param listen of the mesh options
   * @throws ShoalError `E_OPTION` when the platform cannot listen there
   */
  createTransport(invite: Invite, listen: string): Promise<Transport>
}
