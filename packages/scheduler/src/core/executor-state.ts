import type { JobId, OperationHash, PeerId, ProcessorId } from '../model/ids.ts'
import type { AttemptResult, SpawnRequest } from '../model/message.ts'
import type { Deque } from './deque.ts'
import type { Call } from './effects.ts'

/** An attempt that was given to this peer. */
export interface HeldAttempt {
  readonly call: Call
  readonly processor: ProcessorId
  readonly epoch: number
  /** `gathering`: its chunks are on their way here. */
  phase: 'gathering' | 'queued' | 'running' | 'ended'
  isYielded: boolean
  /** Where it runs, which may have been lent away and again since; `null`: it has not started. */
  slot: ExecutorProcessor | null
  /** What it was expected to run when it started: given back to the slot when it ends. */
  slotMs: number
  /** How it ended, until its owner has committed it. */
  result: AttemptResult | null
  endedAt: number
}

export interface ExecutorJob {
  owner: PeerId
  epoch: number
  /** When the owner was last heard of. */
  heardAt: number
  /** By attempt number. */
  readonly held: Map<number, HeldAttempt>
}

export interface ExecutorProcessor {
  readonly queue: Deque<HeldAttempt>
  /** Calls given to the processor, not ended, not yielded. */
  running: number
  runningMs: number
  isTimed: boolean
}

/** What this peer runs, for all owners. */
export interface ExecutorState {
  readonly jobs: Map<JobId, ExecutorJob>
  readonly calls: Map<number, HeldAttempt>
  readonly processors: Map<ProcessorId, ExecutorProcessor>
  readonly runMs: Map<OperationHash, number>
  /** Spawn requests of bodies that the owner has not answered, by job and attempt. */
  readonly submitting: Map<JobId, Map<number, { no: number; requests: SpawnRequest[] }>>
  nextCallId: number
}
