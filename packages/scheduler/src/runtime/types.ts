import type { SchedulerConfig } from '../core/config.ts'
import type { Effect, Notice } from '../core/effects.ts'
import type { Event, PeerRole } from '../core/events.ts'
import type { SchedulerState } from '../core/state.ts'
import type { JobId, PeerId, TaskRef } from '../model/ids.ts'
import type { PeerProfile } from '../model/records.ts'
import type { Outcome, TaskSpec } from '../model/task.ts'
import type { Clock, Network, ProcessorHost, Replica, Unsubscribe } from '../ports.ts'

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

/** The loop around the pure core: what the SDK talks to. One step at a time, never re-entered. */
export interface Runtime {
  readonly self: PeerId
  /** Adds tasks to a job of this peer (the first ones open it). Takes effect at the end of the turn. */
  submit(job: JobId, name: string, specs: readonly TaskSpec[]): void
  /** Nothing more will be added to the job. */
  seal(job: JobId): void
  /** Asks for a `settled` call for each of these. */
  watch(refs: readonly TaskRef[]): void
  /** `nos` null: the whole job. */
  cancel(job: JobId, nos: readonly number[] | null, reason: string): void
  onSettled(listener: (ref: TaskRef, outcome: Outcome) => void): Unsubscribe
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
  /** The bounded history of a task or peer, oldest first, one line each. */
  story(key: string): readonly string[]
  /** What the core knows; only for reading (dashboards, checks). */
  readonly state: SchedulerState
  /** Stops the loop. The ports are the caller's to close. */
  close(): void
}
