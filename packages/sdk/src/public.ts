export type { Link, PeerRole, Scope, Transport } from '@shoal/scheduler'
export type { Extent, ModuleText } from './code/index.ts'
export { type ContextMesh, type ContextOptions, type TaskContext, withContext } from './context.ts'
export {
  CancelledError,
  SchedulingError,
  ServiceRestartedError,
  ShoalError,
  TaskFailedError,
  type TaskFailure,
} from './errors.ts'
export {
  type KernelArguments,
  type KernelArray,
  type KernelBindings,
  type KernelDefinition,
  type KernelResult,
  kernel,
} from './kernel.ts'
export {
  type ContextBody,
  type Operation,
  operation,
  type Spawnable,
  type TaskArgument,
  type TaskArguments,
} from './operation.ts'
export { type ScopeBuilders, scope } from './scope.ts'
export type {
  LookupOptions,
  Service,
  ServiceCall,
  ServiceControl,
  ServiceInfo,
  ServiceOptions,
  ServiceShape,
  ServiceStats,
  Services,
} from './service.types.ts'
export type {
  Chunk,
  Completed,
  ContextGroup,
  GroupProgress,
  JobInfo,
  Lending,
  MapOptions,
  Mesh,
  MeshEvents,
  MeshHealth,
  MeshMetrics,
  MeshOptions,
  PeerInfo,
  ProcessorInfo,
  Task,
  TaskGroup,
  TaskOptions,
  TaskStatus,
} from './types.ts'
