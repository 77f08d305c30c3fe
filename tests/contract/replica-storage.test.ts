import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { type DurableStorage, memoryReplicaStorage } from '../../packages/mesh/src/replica/index.ts'
import { openFileStorage } from '../../packages/mesh/src/replica/storage.file.ts'
import { replicaStorageContract } from '../support/replica-storage-contract.ts'

const folder = mkdtempSync(join(tmpdir(), 'shoal-storage-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

replicaStorageContract({
  name: 'memory',
  async create() {
    const storage = memoryReplicaStorage()
    return { open: async () => storage, close: async () => {} }
  },
})

replicaStorageContract({
  name: 'a folder',
  async create() {
    const directory = mkdtempSync(join(folder, 'place-'))
    let storage: DurableStorage | null = null
    return {
      async open() {
        storage = await openFileStorage({
          directory,
          onDamage: (error) => {
            throw error
          },
        })
        return storage
      },
      close: async () => storage?.close(),
    }
  },
})
