export type { OpenDisk, PieceDisk } from './chunks/disk.ts'
export {
  type ChunkNetwork,
  type ChunkStoreOptions,
  createChunkStore,
  type MeshChunkStore,
  type RoomChunks,
} from './chunks/store.ts'
export type { Reach, Wanted } from './chunks/wanted.ts'
export { createInvite, formatInvite, parseInvite, type RoomInvites } from './invite.ts'
export { limits } from './limits.ts'
export { createIdentity, type Identity, identityFromSeed } from './membership/crypto.ts'
export { createWorkerClock } from './membership/worker-clock.ts'
export { operationHash } from './operations.ts'
export type { PeerStore } from './peer-store.ts'
export {
  createReplica,
  type DocumentName,
  type DurableStorage,
  memoryReplicaStorage,
  type ReplicaExtras,
  type ReplicaLimits,
  type ReplicaOptions,
  type ReplicaStats,
  type ReplicaStorage,
  replicaLimits,
  type StoredDocument,
} from './replica/index.ts'
export { openRoom, type ReplicaFactory, type RoomOptions } from './room.ts'
export type * from './room.types.ts'
export { createSystemClock, createSystemRng } from './transport/clock.ts'
