export type { DocumentName } from './document.ts'
export { type ReplicaLimits, replicaLimits } from './limits.ts'
export { createReplica, type ReplicaExtras, type ReplicaOptions, type ReplicaStats } from './replica.ts'
export type { ReplicaSigning } from './seals.ts'
export {
  type DurableStorage,
  memoryReplicaStorage,
  type ReplicaStorage,
  type StoredDocument,
} from './storage.ts'
