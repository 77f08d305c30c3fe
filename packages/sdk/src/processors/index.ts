export type { ResultForm } from './protocol.ts'
export { createServiceSlots, type ServiceSlots } from './service-slots.ts'
export type { WorkerHandle } from './worker-handle.ts'
export {
  type BodyProgress,
  createWorkerHost,
  type WorkerHost,
  type WorkerHostOptions,
} from './worker-host.ts'
