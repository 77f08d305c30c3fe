import { createReplica, type DocumentName, type ReplicaStorage } from '@shoal/mesh'
import type { OperationHash, OperationRecord, OperationStore } from '@shoal/scheduler'
import type { SimReplicaFactory, SimStore } from '@shoal/scheduler/testing'

/** The real replica on Yjs documents, in a simulated world: client ids come from the seed. */
export const createYjsReplica: SimReplicaFactory = ({ self, clientId, network, clock, rng, store }) =>
  createReplica({
    self,
    clientId,
    network,
    clock,
    rng,
    operations: memoryOperations(),
    storage: storageOn(store),
  })

function storageOn(store: SimStore): ReplicaStorage {
  return {
    load: () => [...store.load()].map(([name, updates]) => ({ name: name as DocumentName, updates })),
    append: (name, update) => store.append(name, update),
    compact: (name, snapshot) => store.compact(name, snapshot),
    drop: (name) => store.drop(name),
  }
}

function memoryOperations(): OperationStore {
  const operations = new Map<OperationHash, OperationRecord>()
  return {
    add: (operation) => void operations.set(operation.hash, operation),
    get: (hash) => operations.get(hash) ?? null,
    fetch: (hash) => Promise.reject(new Error(`Cannot fetch operation ${hash} in a simulated world`)),
  }
}
