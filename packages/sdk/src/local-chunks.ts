import { type ChunkId, type ChunkStore, homeOf, type PeerId, ShoalError } from '@shoal/scheduler'

/** Nobody else ever asks for what is here, so it needs no proof. */
const noHash = new Uint8Array(32)

/** The chunks of a peer that is alone: in memory. */
export function createLocalChunks(self: PeerId): ChunkStore {
  const held = new Map<ChunkId, Uint8Array>()
  const listeners = new Set<(id: ChunkId, isHeld: boolean) => void>()
  let heldBytes = 0
  return {
    async put(id, bytes) {
      held.set(id, bytes)
      heldBytes += bytes.length
      for (const tell of listeners) tell(id, true)
      return { id, sizeBytes: bytes.length, hash: noHash, home: homeOf(id) ?? self }
    },
    has: (id) => held.has(id),
    async fetch({ id }, _holders, signal) {
      if (signal?.aborted === true) throw signal.reason
      const bytes = held.get(id)
      if (bytes !== undefined) return bytes
      const text = `Cannot get chunk "${id}" as this peer must hold it: current value is none`
      throw new ShoalError('E_CHUNK_LOST', text)
    },
    drop(id) {
      heldBytes -= held.get(id)?.length ?? 0
      if (!held.delete(id)) return
      for (const tell of listeners) tell(id, false)
    },
    onHeld(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    get stats() {
      const moved = { movedInBytes: 0, movedOutBytes: 0, relayedBytes: 0 }
      return { heldBytes, memoryBytes: heldBytes, diskBytes: 0, ...moved }
    },
    async close() {
      held.clear()
    },
  }
}
