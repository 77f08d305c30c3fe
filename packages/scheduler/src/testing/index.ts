export {
  type ChunkStoreContract,
  chunkBytes,
  chunkStoreContract,
  expectSameBytes,
} from './contract/chunk-store.ts'
export {
  type ProcessorHostContract,
  type ProcessorHostFixture,
  processorHostContract,
} from './contract/processor-host.ts'
export { createHistory, type History } from './sim/checks.ts'
export type { ChunkWorldKind } from './sim/chunks/plan.ts'
export { type ChunkSimOptions, type ChunkSimReport, runChunkWorld } from './sim/chunks/world.ts'
export { createGate, createLoop, createPeerClock, type Gate, type SimLoop } from './sim/clock.ts'
export { type DeathsOptions, type DeathsReport, runDeaths } from './sim/deaths.ts'
export { describeOutcome } from './sim/expected.ts'
export { describeFault, type FaultKind, makeFaults, type SimFault } from './sim/faults.ts'
export { describeMessage, type LinkConditions } from './sim/network.ts'
export type { SimMutation } from './sim/peer.ts'
export { type RecoveryOptions, type RecoveryReport, runRecovery, type SimRecovery } from './sim/recovery.ts'
export {
  createFakeReplica,
  createPost,
  type SimPost,
  type SimReplica,
  type SimReplicaFactory,
  type SimReplicaOptions,
} from './sim/replica.ts'
export { createRng, hashText, mix, type SimRng } from './sim/rng.ts'
export { checkHistory, type SeenCall } from './sim/services/history.ts'
export type { ServiceWorldKind } from './sim/services/plan.ts'
export { runServiceWorld, type ServiceSimOptions, type ServiceSimReport } from './sim/services/world.ts'
export type { SimMode, WorldShape } from './sim/shape.ts'
export { createSimDisk, type SimDisk, type SimStore, type StoreFaults } from './sim/store.ts'
export type { SimAction } from './sim/workload.ts'
export { runWorld, type SimOptions, type SimReport, type SimStats } from './sim/world.ts'
