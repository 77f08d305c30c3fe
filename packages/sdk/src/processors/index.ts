export { joinHosts, type PeerHost } from './host-pair.ts'
export type { ResultForm } from './protocol.ts'
export { createServiceSlots, type ServiceSlots } from './service-slots.ts'
export { createGpuHost, type GpuHost, type GpuHostOptions } from './webgpu/gpu-host.ts'
export type { GpuHandle } from './webgpu/gpu-protocol.ts'
export type { WorkerHandle } from './worker-handle.ts'
export {
  type BodyProgress,
  createWorkerHost,
  type WorkerHost,
  type WorkerHostOptions,
} from './worker-host.ts'
