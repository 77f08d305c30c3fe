export {
  type ChaosFaults,
  type ChaosTransport,
  createChaosTransport,
  NO_FAULTS,
  type PartitionSide,
} from './transport/chaos.ts'
export { createLinkPair, createMemoryNetwork, type MemoryNetwork } from './transport/memory.ts'
