import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createChunkStore, createSystemClock } from '@shoal/mesh'
import { fileDisk } from '@shoal/mesh/node'
import { chunkId, type PeerId } from '@shoal/scheduler'
import { chunkBytes, chunkStoreContract, expectSameBytes } from '@shoal/scheduler/testing'
import { afterAll, expect, test } from 'vitest'
import { aloneOnNetwork } from '../support/chunk-network.ts'

const folder = mkdtempSync(join(tmpdir(), 'shoal-chunk-store-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const clock = createSystemClock()
const network = aloneOnNetwork

chunkStoreContract({
  name: 'memory',
  hasDisk: false,
  create: async (options) => createChunkStore({ ...options, clock, network }),
})

chunkStoreContract({
  name: 'memory, of a peer that stays alone',
  hasDisk: false,
  create: async (options) => createChunkStore({ ...options, clock, network: null }),
})

chunkStoreContract({
  name: 'temporary files',
  hasDisk: true,
  create: async (options) => createChunkStore({ ...options, clock, network, openDisk: fileDisk() }),
})

let places = 0
chunkStoreContract({
  name: 'a folder',
  hasDisk: true,
  async create(options) {
    const openDisk = fileDisk(join(folder, `place-${places++}`))
    return createChunkStore({ ...options, clock, network, openDisk })
  },
})

const self = 'peer-a' as PeerId

test('[CH2] files of an earlier start are removed, and all files at the end', async () => {
  const directory = mkdtempSync(join(folder, 'kept-'))
  writeFileSync(join(directory, '1'), 'left behind')
  writeFileSync(join(directory, '99'), 'left behind')
  const store = createChunkStore({ self, clock, network, memoryBytesMax: 10, openDisk: fileDisk(directory) })
  await store.put(chunkId(self, 1, 1), chunkBytes(1000))
  expect(readdirSync(directory)).toHaveLength(1)
  await store.close()
  expect(existsSync(directory)).toBe(false)
})

test('[CH2] a disk that cannot be opened: chunks stay in memory, and the store says why', async () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  const openDisk = fileDisk(join(file, 'below'))
  const store = createChunkStore({ self, clock, network, memoryBytesMax: 1000, openDisk })
  let told = 0
  store.onFault(() => told++)
  const ref = await store.put(chunkId(self, 1, 1), chunkBytes(5000))
  expect(store.fault?.code).toBe('E_STORAGE')
  expect(told).toBe(1)
  expect(store.stats).toMatchObject({ memoryBytes: 5000, diskBytes: 0 })
  expectSameBytes(await store.fetch(ref, []), chunkBytes(5000))
  await store.close()
})

test('[CH2] a full disk: chunks stay in memory until something else leaves it', async () => {
  let isFull = false
  const inner = await fileDisk()()
  const openDisk = async () => ({
    ...inner,
    async write(key: number, index: number, bytes: Uint8Array) {
      if (isFull) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
      await inner.write(key, index, bytes)
    },
  })
  const store = createChunkStore({ self, clock, network, memoryBytesMax: 1000, openDisk })
  const first = await store.put(chunkId(self, 1, 1), chunkBytes(2000, 1))
  isFull = true
  const second = await store.put(chunkId(self, 1, 2), chunkBytes(2000, 2))
  expect(store.fault?.code).toBe('E_QUOTA')
  expect(store.stats).toMatchObject({ memoryBytes: 2000, diskBytes: 2000 })
  isFull = false
  const recovered = new Promise<void>((resolve) => store.onFault(resolve))
  store.drop(first.id)
  await recovered
  expect(store.fault).toBeNull()
  await store.put(chunkId(self, 1, 3), chunkBytes(10, 3))
  expect(store.stats).toMatchObject({ memoryBytes: 10, diskBytes: 2000 })
  expectSameBytes(await store.fetch(second, []), chunkBytes(2000, 2))
  await store.close()
})

test('[CH2] a chunk that the disk gives back damaged is lost here, not wrong', async () => {
  const inner = await fileDisk()()
  const openDisk = async () => ({
    ...inner,
    read: async (key: number, index: number, sizeBytes: number) =>
      (await inner.read(key, index, sizeBytes)).fill(7),
  })
  const store = createChunkStore({ self, clock, network, memoryBytesMax: 1000, openDisk })
  const ref = await store.put(chunkId(self, 1, 1), chunkBytes(5000))
  await expect(store.fetch(ref, [])).rejects.toThrow(expect.objectContaining({ code: 'E_CHUNK_LOST' }))
  expect(store.has(ref.id)).toBe(false)
  await store.close()
})
