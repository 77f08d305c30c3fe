import type { SchedulerState, TaskState } from '../../../core/state.ts'
import type { ChunkId, ChunkPayload, JobId } from '../../../index.ts'
import type { World } from '../ending.ts'
import type { SimPeer } from '../peer.ts'
import type { ChunkPlan } from './plan.ts'
import type { ChunkRoom } from './store.ts'

/** One `get` of a user. */
export interface SeenGet {
  readonly peer: SimPeer
  readonly chunk: ChunkPayload
  isOver: boolean
}

/** A chunk that a user put, and the starts of peers whose users have handles to it. */
export interface SeenPut {
  readonly chunk: ChunkPayload
  readonly handles: Map<SimPeer, number>
}

/** A simulated room with chunks. */
export interface ChunkWorld {
  readonly plan: ChunkPlan
  readonly world: World
  readonly chunks: ChunkRoom
  readonly puts: Map<number, SeenPut>
  readonly gets: SeenGet[]
  /** The last submission of each job: large arguments have to be put first. */
  readonly submissions: Map<JobId, Promise<void>>
  /** Bodies that ran to make a lost chunk again, by chunk. */
  readonly remakes: Map<ChunkId, number>
  /** What each start of a peer has been seen to know, to tell what is new. */
  readonly seen: WeakMap<SchedulerState, SeenState>
  /** Every chunk that anybody has heard of. */
  readonly made: Set<ChunkId>
}

/** What the checks remember of one scheduler. */
export interface SeenState {
  /** Chunks of which it knew a holder. */
  readonly held: Set<ChunkId>
  /** Second runs that it has asked for. */
  readonly remakes: Set<TaskState>
  /** How often it may ask for a second run: losses of a last holder, and claims. */
  readonly losses: Map<ChunkId, number>
  readonly asked: Map<ChunkId, number>
  readonly placed: WeakMap<TaskState, number>
}
