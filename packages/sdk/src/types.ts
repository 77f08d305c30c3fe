import type { PeerRole } from '@shoal/scheduler'

/** Options of {@link localMesh} and {@link joinMesh}. */
export interface MeshOptions {
  /** Shown to the other peers. Default: a made-up name, the same for one browser or host. */
  readonly name?: string
  /** Workers to lend. Default: processors of this machine - 1, at least 1; 0 lends nothing. */
  readonly workers?: number
  /** Ends the joining with the signal's reason. */
  readonly signal?: AbortSignal
}

/** What this peer lends; part of `Mesh`, so that a page can join first and ask for consent later. */
export interface Lending {
  /** Workers lent at present. */
  readonly workers: number
  /**
   * Changes how many workers this peer lends: more are started, surplus ones end after their running
   * tasks (tasks that have not started go back to their owner). Resolves when the processors are as asked.
   * @throws ShoalError `E_OPTION` when `workers` is not a whole number from 0 to 256
   */
  lend(workers: number): Promise<void>
}

/** One peer as this peer sees it. */
export interface PeerInfo {
  readonly id: string
  readonly name: string
  readonly role: PeerRole
  readonly isSelf: boolean
  readonly isSuspected: boolean
  /** Start counter of this peer's identity. */
  readonly epoch: number
  readonly processors: readonly { readonly id: string; readonly kind: string }[]
  /** Round trip to it in milliseconds; 0 for this peer. */
  readonly rttMs: number
  /** Tasks of jobs owned here that it ended, since this mesh was opened. */
  readonly tasksDone: number
}

/** A job as this peer sees it: all tasks spawned under one root. */
export interface JobInfo {
  readonly id: string
  readonly name: string
  /** The peer that places its tasks at present. */
  readonly owner: string
  readonly epoch: number
  readonly isMine: boolean
  readonly total: number
  readonly done: number
  readonly failed: number
  readonly cancelled: number
  readonly isEnded: boolean
}

/** What a task asks for; see docs/API.md. Precedence: call site, then `with`, then the operation. */
export interface TaskOptions {
  /** Run only on this peer. */
  readonly peer?: string
  readonly scope?: import('@shoal/scheduler').Scope
  readonly name?: string
  /** Higher runs first. Default 0. */
  readonly priority?: number
  /** Executions = 1 + max. Default `{ max: 0, backoffMs: 0 }`. */
  readonly retry?: { readonly max: number; readonly backoffMs?: number }
  /** Longest run of one attempt in milliseconds. Default: no limit. */
  readonly timeoutMs?: number
  /** Tasks that must end first; their values are not passed. */
  readonly after?: readonly Task<unknown>[]
  /** Cancels the task. */
  readonly signal?: AbortSignal
}

export type TaskStatus =
  | 'waiting'
  | 'ready'
  | 'assigned'
  | 'backoff'
  | 'done'
  | 'failed'
  | 'cancelled'
  | 'unknown'

/** One invocation of an operation: awaitable, and an argument of other tasks. */
export interface Task<T> extends PromiseLike<T> {
  readonly id: string
  readonly status: TaskStatus
  /** The value; rejects with {@link TaskFailedError} or {@link CancelledError}. */
  fetch(): Promise<T>
  /** Resolves when the task has ended, well or not; never rejects for the task's failure. */
  wait(): Promise<void>
  isReady(): boolean
  cancel(reason?: string): void
  /** The task's history as this peer knows it, oldest first. */
  explain(): readonly string[]
}

export interface GroupProgress {
  readonly done: number
  readonly total: number
  readonly failed: number
}

/** A settled member of a group or list: never a bare task, so that nothing is flattened. */
export type Completed<T> =
  | {
      readonly index: number
      readonly task: readonly [Task<T>]
      readonly status: 'done'
      readonly value: T
      readonly peer: string | null
    }
  | {
      readonly index: number
      readonly task: readonly [Task<T>]
      readonly status: 'failed' | 'cancelled'
      readonly error: Error
      readonly peer: string | null
    }

/** Many tasks of one operation. `await` gives all values in order; iterating gives records as they complete. */
export interface TaskGroup<T> extends PromiseLike<T[]>, AsyncIterable<Completed<T>> {
  readonly jobId: string
  readonly progress: GroupProgress
  on(event: 'progress', listener: (progress: GroupProgress) => void): () => void
  cancel(reason?: string): void
}

/** Peers' events, by name. */
export interface MeshEvents {
  'peer-joined': PeerInfo
  'peer-suspected': PeerInfo
  'peer-left': { readonly id: string; readonly cause: 'left' | 'dead' }
  'peers-changed': readonly PeerInfo[]
  'job-opened': JobInfo
  'job-changed': JobInfo
  'job-ended': JobInfo
  'owner-changed': { readonly job: string; readonly owner: string; readonly epoch: number }
  'task-assigned': { readonly task: string; readonly peer: string | null; readonly processor: string | null }
  'task-done': { readonly task: string; readonly peer: string | null; readonly processor: string | null }
  'task-failed': { readonly task: string; readonly peer: string | null; readonly processor: string | null }
  'task-cancelled': { readonly task: string; readonly peer: string | null; readonly processor: string | null }
  'task-retried': { readonly task: string; readonly peer: string | null; readonly processor: string | null }
  starved: { readonly job: string; readonly scope: string; readonly waiting: number }
  health: MeshHealth
}

export interface MeshHealth {
  readonly isOnline: boolean
  readonly peers: number
  readonly members: number
  readonly processors: number
  readonly reasons: readonly string[]
}
