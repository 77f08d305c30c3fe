import { availableParallelism, hostname } from 'node:os'
import { createSystemClock } from '@shoal/mesh'
import { signallingOf } from './invite-address.ts'
import { refuse } from './mesh-options.ts'
import type { Platform } from './platform.ts'
import { findWebgpuPackage, startNodeGpu } from './processors/webgpu/gpu.node.ts'
import { startNodeWorker } from './processors/worker.node.ts'

/** A Node process: worker threads, and WebRTC that is loaded when a room is joined. */
export const nodePlatform: Platform = {
  clock: createSystemClock(),
  cores: availableParallelism(),
  name: hostname(),
  startWorker: startNodeWorker,
  get mayHaveGpu() {
    return findWebgpuPackage() !== null
  },
  startGpu: () => startNodeGpu(),
  async openStore(invite, storage) {
    if (storage === 'auto') return null
    if (storage === 'idb') refuse('storage', "'memory' or a folder on Node", storage)
    const { openFilePeerStore } = await import('@shoal/mesh/node')
    return openFilePeerStore({
      invite,
      directory: storage,
      onDamage: (error) => console.error(error.message),
    })
  },
  async openChunkDisk() {
    const { fileDisk } = await import('@shoal/mesh/node')
    return fileDisk()()
  },
  async createTransport(invite, listen) {
    const { createNodeTransport } = await import('@shoal/mesh/node')
    const signalling = signallingOf(invite)
    const loopback = signalling.host === '127.0.0.1'
    return createNodeTransport({ signalling, room: invite.room, loopback, listen })
  },
}
