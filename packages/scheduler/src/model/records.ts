import type { JobId, PeerId } from './ids.ts'
import type { OperationRecord } from './operation.ts'
import type { ProcessorRecord } from './processor.ts'
import type { ServiceClaim, ServiceEnd, ServiceId, ServiceSpec } from './service.ts'
import type { Outcome, RangeSpec, TaskSpec } from './task.ts'

/** One outcome as an owner wrote it. Readers keep, for each task, the record of the lowest epoch. */
export interface OutcomeRecord {
  readonly no: number
  /** Tasks in a row that ended so, from `no` on. Absent: one. Done, they carry `RangeValues`. */
  readonly count?: number
  readonly outcome: Outcome
}

/**
 * What members replicate: the whole of the shared state, as plain data.
 * `by` is the writer: lane records live in its lane, job records in the job's document.
 */
export type ReplicatedRecord =
  | { readonly type: 'job'; readonly by: PeerId; readonly job: JobId; readonly name: string }
  | { readonly type: 'claim'; readonly by: PeerId; readonly job: JobId; readonly epoch: number }
  | { readonly type: 'ended'; readonly by: PeerId; readonly job: JobId }
  | { readonly type: 'service'; readonly by: PeerId; readonly spec: ServiceSpec }
  /** Written by the host, and by whoever found it decided. */
  | {
      readonly type: 'service-claim'
      readonly by: PeerId
      readonly service: ServiceId
      readonly claim: ServiceClaim
    }
  /** Ends every claim up to this epoch. */
  | {
      readonly type: 'service-ended'
      readonly by: PeerId
      readonly service: ServiceId
      readonly epoch: number
      readonly reason: ServiceEnd
    }
  | { readonly type: 'profile'; readonly by: PeerId; readonly profile: PeerProfile }
  | { readonly type: 'operations'; readonly job: JobId; readonly operations: readonly OperationRecord[] }
  | { readonly type: 'specs'; readonly job: JobId; readonly specs: readonly TaskSpec[] }
  | { readonly type: 'range'; readonly job: JobId; readonly range: RangeSpec }
  | {
      readonly type: 'outcomes'
      readonly job: JobId
      readonly by: PeerId
      readonly epoch: number
      readonly outcomes: readonly OutcomeRecord[]
    }

/** What a peer says of itself. */
export interface PeerProfile {
  readonly name: string
  readonly processors: readonly ProcessorRecord[]
}
