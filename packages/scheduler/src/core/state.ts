import type { ChunkId, ChunkPayload } from '../model/chunk.ts'
import type { Claim } from '../model/claim.ts'
import {
  type JobId,
  nestedBase,
  type OperationHash,
  type PeerId,
  type ProcessorId,
  type TaskRef,
} from '../model/ids.ts'
import type { AssignmentInput, ChunkWish, MessageOf } from '../model/message.ts'
import type { RangeItems } from '../model/payload.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import type { OutcomeRecord, PeerProfile } from '../model/records.ts'
import type { Scope } from '../model/scope.ts'
import type { Outcome, TaskSpec } from '../model/task.ts'
import { defaultConfig, type SchedulerConfig } from './config.ts'
import type { Deque } from './deque.ts'
import type { PeerRole } from './events.ts'
import type { ExecutorState } from './executor-state.ts'
import { createServices, type ServicesState } from './services/state.ts'
import { Story } from './story.ts'
import { Timers } from './timers.ts'

/** Where a task of an owned job stands. Tasks of other peers' jobs stay `waiting` until they end. */
export type TaskStatus = 'waiting' | 'ready' | 'assigned' | 'backoff' | 'done' | 'failed' | 'cancelled'

export const noInputs: readonly AssignmentInput[] = Object.freeze([])

/**
 * One task as this peer knows it, or a slice: several items of a range that go through everything
 * together. A class, so that all records have one shape.
 */
export class TaskState {
  readonly job: JobState
  /** Of a slice: that of its first item, without arguments. */
  readonly spec: TaskSpec
  /** Tasks in it: above 1 only for a slice. */
  readonly count: number
  /** Arguments of a slice's items; `null`: a single task. */
  readonly items: RangeItems | null
  status: TaskStatus = 'waiting'
  outcome: Outcome | null = null
  /** Epoch and writer of the outcome's record: the lowest epoch wins, then the higher peer id. */
  outcomeEpoch = 0
  outcomeBy: PeerId | null = null
  /** Inputs that have not ended yet. Only kept right in jobs owned here. */
  pendingNeeds = 0
  inputs: AssignmentInput[] | null = null
  /** Chunks among its arguments and inputs. */
  chunks: ChunkState[] | null = null
  /** The lost chunk that it makes again: a second run of a task that stays done. */
  remakes: ChunkId | null = null
  /** Attempts in a row that could not have their chunks. */
  unfed = 0
  /** It stands in the `dependents` of each input that has not ended. */
  isHooked = false
  /** Tasks (of any job owned here) that wait for this one. */
  dependents: TaskState[] | null = null
  attempt = 0
  processor: ProcessorState | null = null
  assignedAt = 0
  estimateMs = 0
  isRevoking = false
  /** Tasks that the present attempt spawned and that have not ended: it waits for them, most likely. */
  openChildren = 0
  /** Tasks that the attempt `spawnedBy` has spawned. */
  spawned = 0
  spawnedBy = 0
  /** Executions that ended with a throw. */
  executions = 0
  /** The attempt that threw last: a successor may hear of it from several sides. */
  thrownAttempt = 0
  refusals = 0
  /** Processors that died while it ran, most likely; from the first one on it runs alone. */
  losses: Loss[] | null = null
  isWatched = false
  watchers: PeerId[] | null = null

  constructor(job: JobState, spec: TaskSpec, items: RangeItems | null) {
    this.job = job
    this.spec = spec
    this.items = items
    this.count = items === null ? 1 : items.count
  }
}

/** A processor died with an attempt that may have been the cause. */
export interface Loss {
  readonly processor: ProcessorId
  readonly attempt: number
  /** Nothing else of this owner was there: none but this task can be the cause, if a task is. */
  readonly wasAlone: boolean
  readonly at: number
}

export interface JobState {
  readonly id: JobId
  name: string
  creator: PeerId
  /** The highest claim known. */
  claim: Claim
  isMine: boolean
  /** The start of the owner that made the claim is gone: a later one of the same peer is not that owner. */
  isOrphaned: boolean
  /** A successor that still waits for answers: nothing is assigned meanwhile. */
  isAdopting: boolean
  /** Peers that have not answered `adopt` yet. */
  adoptPending: Set<PeerId>
  isSealed: boolean
  isEnded: boolean
  /** By number; a slice stands at each of its numbers. */
  readonly tasks: (TaskState | undefined)[]
  /** Tasks that bodies spawned; numbers from `nestedBase` on. */
  readonly nested: Map<number, TaskState>
  /** `attempt:seq` of a spawn request -> task number. */
  readonly children: Map<string, number>
  /** Second runs of done tasks whose chunks were lost, by number. */
  readonly remakes: Map<number, TaskState>
  total: number
  done: number
  failed: number
  cancelled: number
  nextAttempt: number
  /** Number of the next task that a body spawns. */
  nextNested: number
}

/** A chunk that something here refers to. */
export interface ChunkState {
  readonly payload: ChunkPayload
  /** Who has all of it, and since when that is known. */
  readonly holders: Map<PeerId, number>
  /** Tasks that have not ended and name it. */
  readonly neededBy: Set<TaskState>
  /** Chunks in whose values a handle to it lies, and jobs with such outcomes. */
  readonly keptIn: Set<ChunkState | JobState>
  /** Chunks whose handles lie in its value. */
  inner: readonly ChunkState[]
  /** Handles of local users. */
  handles: number
  /** Other peers with handles; only at its tracker. */
  readonly wanters: Set<PeerId>
  /** Who waits to hear where it is; this peer for a user here. */
  readonly askers: Set<PeerId>
  /** Its tracker when the job is not known: where it was made, later the job's last owner. */
  keeper: PeerId
  /** What its tracker was told and has not answered. */
  wish: ChunkWish | null
  /** Whoever was told of handles here, and keeps the chunk for them. */
  registeredWith: PeerId | null
  /** How often a tracker did not know it. */
  strangers: number
}

/** Why a copy is kept on this peer. */
export interface KeptCopy {
  /** Its reference, where it was made here. */
  payload: ChunkPayload | null
  /** The task whose result it is, while the job's owner has not freed it. */
  task: TaskRef | null
  /** That job's owner at the time; later ones are known from documents or commands. */
  owner: PeerId | null
  /** Peers that had it fetched for their tasks. */
  readonly keptFor: Set<PeerId>
  /** Since when no owner is in view. */
  orphanedAt: number | null
}

export interface PeerState {
  readonly id: PeerId
  readonly epoch: number
  readonly role: PeerRole
  isSuspected: boolean
  /** It did not answer a successor in time: it may be dead and not known to be. */
  isMute: boolean
  /** When this start of it came into view. */
  readonly joinedAt: number
  /** It has said what it lends. */
  hasProfile: boolean
  profile: PeerProfile
  rttMs: number
  bytesPerMs: number
  tasksDone: number
}

/** One processor of the room as an owner sees it. */
export interface ProcessorState {
  readonly record: ProcessorRecord
  readonly peer: PeerState
  /** Tasks of jobs owned here that were given to it, oldest first: the first one is taken to run. */
  readonly assigned: Set<TaskState>
  /** Those among them that wait for tasks of their own, and so leave the processor to others. */
  waiting: number
  /** Sum of the estimates of the others. */
  queuedMs: number
  isRevoking: boolean
  /** A task that runs here alone, or is to when what is here has ended. */
  guest: TaskState | null
  /** No longer lent: what it has may end, nothing new comes, and it goes with the last one. */
  isClosing: boolean
}

/** Ready tasks that may run in the same places, in the order in which they became ready. */
export interface ReadyLane {
  readonly key: string
  readonly priority: number
  readonly scope: Scope
  readonly queue: Deque<TaskState>
  candidates: ProcessorState[]
  candidatesVersion: number
  isStarving: boolean
}

/** How long an operation runs: moving averages in milliseconds. */
export interface Estimate {
  /** Per unit of processor score. */
  meanMs: number
  readonly byProcessor: Map<ProcessorId, number>
}

export interface PendingCancel {
  readonly job: JobId
  readonly nos: readonly number[] | null
  readonly reason: string
  tries: number
}

/** All that one scheduler knows. Only `step` changes it. */
export interface SchedulerState {
  readonly self: PeerId
  readonly role: PeerRole
  readonly isReplicated: boolean
  readonly config: SchedulerConfig
  now: number
  readonly peers: Map<PeerId, PeerState>
  readonly processors: Map<ProcessorId, ProcessorState>
  /** Changes whenever the set of usable processors may have changed. */
  processorsVersion: number
  readonly jobs: Map<JobId, JobState>
  /** Jobs that were dropped here. */
  readonly tombstones: Set<JobId>
  /** Sorted by priority, highest first. */
  readonly lanes: ReadyLane[]
  readonly estimates: Map<OperationHash, Estimate>
  readonly executor: ExecutorState
  readonly timers: Timers
  isAuditArmed: boolean
  /** Tasks that wait for a task of a job not known here. */
  readonly orphans: Map<JobId, { readonly no: number; readonly dependent: TaskState }[]>
  /** Watched tasks of jobs not known here. */
  readonly foreignWatches: Map<JobId, Set<number>>
  /** Outcomes that arrived before their specifications. */
  readonly earlyOutcomes: Map<
    JobId,
    { readonly by: PeerId; readonly epoch: number; readonly record: OutcomeRecord }[]
  >
  /** When processors and peers died, as far as this peer knows: the last minute's, newest last. */
  deathsAt: number[]
  /** When other members were lost, newest last. */
  memberLossesAt: number[]
  /** Until then this peer may have been given up by others and not know it. */
  doubtUntil: number
  /** When this start began, and when it saw another member first; `null`: not yet. */
  startedAt: number | null
  metAt: number | null
  /** Results were not taken since the last audit, which repeats them. */
  hasHeldBack: boolean
  readonly cancels: PendingCancel[]
  readonly services: ServicesState
  /** Chunks that something here refers to. */
  readonly chunks: Map<ChunkId, ChunkState>
  /** Those among them whose tracker has to answer. */
  readonly wishes: Set<ChunkState>
  /** Handles let go of that the tracker has not confirmed. */
  readonly releases: Map<string, { readonly tracker: PeerId; readonly message: MessageOf<'want'> }>
  /** `<chunk> <peer>` of what this peer, which leaves, has offered and nobody took yet. */
  readonly offered: Set<string>
  /** Chunks that are being taken from peers that leave. */
  readonly taking: Map<ChunkId, PeerId>
  /** What peers that leave have offered here before anything was known of it. */
  readonly earlyOffers: Map<ChunkId, { readonly from: PeerId; readonly payload: ChunkPayload }>
  /** Copies that are on this peer, by its store's word. */
  readonly stored: Set<ChunkId>
  /** Copies on this peer, or on their way, that are kept for owners. */
  readonly kept: Map<ChunkId, KeptCopy>
  readonly story: Story
  /** `task-*` notices are made only when somebody listens. */
  wantsTaskNotices: boolean
}

export function createState(options: {
  readonly self: PeerId
  readonly epoch: number
  readonly role: PeerRole
  readonly name: string
  readonly isReplicated: boolean
  readonly config?: Partial<SchedulerConfig>
}): SchedulerState {
  const config = { ...defaultConfig, ...options.config }
  const me: PeerState = {
    id: options.self,
    epoch: options.epoch,
    role: options.role,
    isSuspected: false,
    isMute: false,
    joinedAt: 0,
    hasProfile: true,
    profile: { name: options.name, processors: [] },
    rttMs: 0,
    bytesPerMs: Number.POSITIVE_INFINITY,
    tasksDone: 0,
  }
  return {
    self: options.self,
    role: options.role,
    isReplicated: options.isReplicated,
    config,
    now: 0,
    peers: new Map([[options.self, me]]),
    processors: new Map(),
    processorsVersion: 0,
    jobs: new Map(),
    tombstones: new Set(),
    lanes: [],
    estimates: new Map(),
    executor: {
      jobs: new Map(),
      calls: new Map(),
      processors: new Map(),
      runMs: new Map(),
      submitting: new Map(),
      nextCallId: 1,
    },
    timers: new Timers(),
    isAuditArmed: false,
    orphans: new Map(),
    foreignWatches: new Map(),
    earlyOutcomes: new Map(),
    deathsAt: [],
    memberLossesAt: [],
    doubtUntil: 0,
    startedAt: null,
    metAt: null,
    hasHeldBack: false,
    cancels: [],
    services: createServices(options.self, options.epoch),
    chunks: new Map(),
    offered: new Set(),
    taking: new Map(),
    earlyOffers: new Map(),
    wishes: new Set(),
    releases: new Map(),
    stored: new Set(),
    kept: new Map(),
    story: new Story(4096),
    wantsTaskNotices: false,
  }
}

/** When the core wants to be told that time passed. */
export function wakeAtOf(state: SchedulerState): number {
  return state.timers.nextAt
}

export function taskAt(job: JobState, no: number): TaskState | undefined {
  return no < nestedBase ? job.tasks[no] : job.nested.get(no)
}

/** The task as one attempt sees it: a second run, when it is that one's attempt. */
export function attemptedTask(job: JobState, no: number, attempt: number): TaskState | undefined {
  const again = job.remakes.size === 0 ? undefined : job.remakes.get(no)
  return again !== undefined && again.status === 'assigned' && again.attempt === attempt
    ? again
    : taskAt(job, no)
}

export function findTask(state: SchedulerState, ref: TaskRef): TaskState | undefined {
  const job = state.jobs.get(ref.job)
  return job === undefined ? undefined : taskAt(job, ref.no)
}

export function refOf(task: TaskState): TaskRef {
  return { job: task.job.id, no: task.spec.no }
}

/** Each task or slice once. */
export function* tasksOf(job: JobState): Generator<TaskState> {
  for (let no = 0; no < job.tasks.length; no++) {
    const task = job.tasks[no]
    if (task === undefined) continue
    no = task.spec.no + task.count - 1
    yield task
  }
  yield* job.nested.values()
}

export function isFinal(status: TaskStatus): boolean {
  return status === 'done' || status === 'failed' || status === 'cancelled'
}
