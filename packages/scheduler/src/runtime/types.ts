import type { SchedulerConfig } from '../core/config.ts'
import type { Effect, Notice, ServiceNotice } from '../core/effects.ts'
import type { Event, PeerRole } from '../core/events.ts'
import type { SchedulerState } from '../core/state.ts'
import type { JobId, OperationHash, PeerId, TaskRef } from '../model/ids.ts'
import type { Payload } from '../model/payload.ts'
import type { PeerProfile } from '../model/records.ts'
import type { Durability, ServiceAnswer, ServiceId, ServiceOrder, ServiceSpec } from '../model/service.ts'
import type { Outcome, RangeSpec, TaskSpec } from '../model/task.ts'
import type {
  ChunkStore,
  Clock,
  Network,
  ProcessorHost,
  Replica,
  ServiceHost,
  Unsubscribe,
} from '../ports.ts'
import type { RuntimeChunks } from './chunks.ts'

export interface RuntimeOptions {
  readonly self: PeerId
  readonly epoch: number
  readonly role: PeerRole
  readonly name: string
  readonly clock: Clock
  readonly host: ProcessorHost
  /** `null`: this peer is alone and stays alone (a local mesh). */
  readonly network: Network | null
  /** `null`: nothing is replicated (a local mesh, a contributor). */
  readonly replica: Replica | null
  /** Left out: this peer hosts no services. */
  readonly serviceHost?: ServiceHost
  /** Where chunks are kept; absent: values never become chunks (a local mesh). */
  readonly chunks?: ChunkStore
  /** A step threw: a bug in Shoal. The loop goes on. */
  readonly onBug: (error: unknown) => void
  /** Numbers that the core decides with; what is left out has its default. */
  readonly config?: Partial<SchedulerConfig>
  /** The core's door; a harness may wrap it to watch or to break it. */
  readonly step?: (state: SchedulerState, event: Event) => Effect[]
}

/** A peer as this peer sees it. */
export interface PeerView {
  readonly id: PeerId
  readonly epoch: number
  readonly role: PeerRole
  readonly isSelf: boolean
  readonly isSuspected: boolean
  readonly profile: PeerProfile
  readonly rttMs: number
  /** Attempts of jobs owned here that it ended well, since this start. */
  readonly tasksDone: number
}

/** A job as this peer sees it. */
export interface JobView {
  readonly id: JobId
  readonly name: string
  readonly owner: PeerId
  readonly epoch: number
  readonly isMine: boolean
  readonly total: number
  readonly done: number
  readonly failed: number
  readonly cancelled: number
  readonly isEnded: boolean
}

/** A task as this peer sees it. */
export type TaskStatus =
  | 'waiting'
  | 'ready'
  | 'assigned'
  | 'backoff'
  | 'done'
  | 'failed'
  | 'cancelled'
  | 'unknown'

/** A service as this peer sees it. */
export interface ServiceView {
  readonly id: ServiceId
  readonly name: string | null
  readonly operation: OperationHash
  readonly durability: Durability
  readonly host: PeerId
  readonly epoch: number
  /** Who has the state besides; `null`: nothing outlives the host. */
  readonly follower: PeerId | null
  readonly isHostedHere: boolean
  /** Calls run by the instance that runs here, since it was made; 0 elsewhere. */
  readonly callsRun: number
  /** Calls that wait here for their turn, their end, or their follower; 0 elsewhere. */
  readonly callsOpen: number
}

/** Services, as the SDK uses them. Each `done` is called once, never within the call that took it. */
export interface RuntimeServices {
  /**
   * Makes a service that starts on this peer. `ok`, or failed with `E_NAME_TAKEN`, `E_FORBIDDEN` (a contributor),
   * or what its constructor threw.
   */
  create(spec: ServiceSpec, done: (outcome: ServiceAnswer['outcome']) => void): void
  /**
   * Calls a method. Failed with what it threw, or `E_SERVICE_DELETED`, `E_SERVICE_LOST`, `E_SERVICE_CRASH_LOOP`, `E_SERVICE_RESTARTED`,
   * `E_WOULD_DEADLOCK`, `E_NO_SERVICE`.
   */
  call(
    service: ServiceId,
    call: { readonly method: string; readonly args: Payload; readonly via: readonly ServiceId[] },
    done: (outcome: ServiceAnswer['outcome']) => void,
  ): void
  /** `ok`, or failed as a call does, or with `E_MIGRATE`. */
  order(service: ServiceId, order: ServiceOrder, done: (outcome: ServiceAnswer['outcome']) => void): void
  /** The service that has this name, on every peer that knows as much; `null`: none. */
  lookup(name: string): ServiceView | null
  view(service: ServiceId): ServiceView | null
  list(): readonly ServiceView[]
  /** Hands all services hosted here to their followers; `done` when there is nothing left to hand over. */
  leave(done: () => void): void
  onNotice(listener: (notice: ServiceNotice) => void): Unsubscribe
}

/** The loop around the pure core: what the SDK talks to. One step at a time, never re-entered. */
export interface Runtime {
  readonly self: PeerId
  /** Adds tasks to a job of this peer (the first ones open it). Takes effect at the end of the turn. */
  submit(job: JobId, name: string, specs: readonly TaskSpec[]): void
  /** Adds a range to a job of this peer, as `submit` adds tasks. */
  submitRange(job: JobId, name: string, range: RangeSpec): void
  /** Nothing more will be added to the job. */
  seal(job: JobId): void
  /** Asks for a `settled` call for each of these. */
  watch(refs: readonly TaskRef[]): void
  /** `nos` null: the whole job. */
  cancel(job: JobId, nos: readonly number[] | null, reason: string): void
  /** @param onSlice takes `count` tasks from `ref` on whole; done, they carry `RangeValues`. Default: one by one */
  onSettled(
    listener: (ref: TaskRef, outcome: Outcome) => void,
    onSlice?: (ref: TaskRef, count: number, outcome: Outcome) => void,
  ): Unsubscribe
  onNotice(listener: (notice: Notice) => void): Unsubscribe
  /** Whether `task-*` notices are made: they cost, so only while somebody listens. */
  watchTaskNotices(isWanted: boolean): void
  /** Any change of `peers()`. */
  onPeers(listener: () => void): Unsubscribe
  peers(): readonly PeerView[]
  jobs(): readonly JobView[]
  /** The specifications of a job's tasks known here, by number. */
  tasksOf(job: JobId): readonly TaskSpec[]
  outcomeOf(ref: TaskRef): Outcome | null
  statusOf(ref: TaskRef): TaskStatus
  readonly services: RuntimeServices
  /** The bounded history of a task or peer, oldest first, one line each. */
  story(key: string): readonly string[]
  /** `null` where values never become chunks. */
  readonly chunks: RuntimeChunks | null
  /** What the core knows; only for reading (dashboards, checks). */
  readonly state: SchedulerState
  /**
   * Resolves when every attempt that was given to this peer has ended and its owner has the result, at once
   * when this peer is alone. For a peer that leaves, once it lends nothing any more.
   */
  drained(): Promise<void>
  /** Stops the loop. The ports are the caller's to close. */
  close(): void
}
