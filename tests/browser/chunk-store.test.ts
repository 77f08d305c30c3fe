import { createChunkStore, createSystemClock } from '@shoal/mesh'
import { idbDisk } from '@shoal/mesh/browser'
import { chunkId, type PeerId } from '@shoal/scheduler'
import { chunkBytes, chunkStoreContract, expectSameBytes } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { aloneOnNetwork } from '../support/chunk-network.ts'

const clock = createSystemClock()
const network = aloneOnNetwork

chunkStoreContract({
  name: 'memory',
  hasDisk: false,
  create: async (options) => createChunkStore({ ...options, clock, network }),
})

chunkStoreContract({
  name: 'IndexedDB',
  hasDisk: true,
  create: async (options) => createChunkStore({ ...options, clock, network, openDisk: idbDisk() }),
})

const self = 'peer-a' as PeerId

test('[CH2] a tab finds nothing of the one before it in the database', async () => {
  const prefix = `chunks ${crypto.randomUUID()}`
  const first = await idbDisk(prefix)()
  await first.write(1, 0, chunkBytes(10))
  // As after a crash: the lock is gone, the database is as it was.
  const second = await idbDisk(prefix)()
  await second.write(1, 1, chunkBytes(10))
  await expect(second.read(1, 0, 10)).rejects.toThrow('piece 0 has no bytes')
  await Promise.all([first.close(), second.close()])
})

test('[CH2] a page without storage keeps chunks in memory, and says why', async () => {
  const openDisk = async (): Promise<never> => {
    throw new DOMException('The page may not', 'SecurityError')
  }
  const store = createChunkStore({ self, clock, network, memoryBytesMax: 1000, openDisk })
  const ref = await store.put(chunkId(self, 1, 1), chunkBytes(5000))
  expect(store.fault?.code).toBe('E_STORAGE_DENIED')
  expectSameBytes(await store.fetch(ref, []), chunkBytes(5000))
  await store.close()
})
