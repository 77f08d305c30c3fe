import { openIdbStorage, openPeerDatabase } from '../../packages/mesh/src/replica/storage.idb.ts'
import type { DurableStorage } from '../../packages/mesh/src/replica/storage.ts'
import { replicaStorageContract } from '../support/replica-storage-contract.ts'

let places = 0

replicaStorageContract({
  name: 'IndexedDB',
  async create() {
    const name = `contract ${crypto.randomUUID()} ${++places}`
    let storage: DurableStorage | null = null
    return {
      async open() {
        storage = await openIdbStorage(await openPeerDatabase(name))
        return storage
      },
      close: async () => storage?.close(),
    }
  },
})
