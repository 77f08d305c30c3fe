import type { PeerRole, Scope, TaskStatus, Transport } from '@shoal/scheduler'
import type { Spawnable, TaskArgument, TaskArguments } from './operation.ts'
import type { Service, ServiceOptions, ServiceShape, Services } from './service.types.ts'

/** Options of {@link localMesh} and {@link joinMesh}. */
export interface MeshOptions {
  /** Shown to the other peers. Default: a made-up name, the same for one browser or host. */
  readonly name?: string
  /** Workers to lend. Default: processors of this machine - 1, at least 1; 0 lends nothing. */
  readonly workers?: number
  /**
   * Lend a GPU, for kernels. `'auto'` (default): while workers are lent, where there may be one: in browsers
   * with WebGPU, and on Node where the package `webgpu` is installed. `true`: always; `health()` tells when
   * there is none. `false`: never.
   */
  readonly gpu?: boolean | 'auto'
  /** Options of every task, unless an operation's view, `with` or the call site says otherwise. */
  readonly defaults?: TaskOptions
  /**
   * Where this peer keeps who it is and what it knows of the room, so that its next start goes on with its
   * work: `'idb'` (browsers), the path of a folder (Node), or `'memory'`, until it ends. Default `'auto'`:
   * `'idb'` in browsers, where one that keeps nothing costs durability only (see {@link Mesh.health});
   * `'memory'` on Node. A local mesh keeps nothing.
   */
  readonly storage?: 'auto' | 'memory' | 'idb' | (string & {})
  /**
   * Node only: the address on which other Node peers may open TCP lines to this one, which are faster than WebRTC:
   * an IP address, `'0.0.0.0'` for all of this machine, or `'none'`, to open lines to others only. Default `'auto'`:
   * the own address in the network where the room's host is, if that is loopback or of a private range.
   */
  readonly listen?: 'auto' | 'none' | (string & {})
  /** Ends the joining with the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * Stands between this peer and the others: gets the transport that joining a room opened, and gives the
   * one to use, which closes the first when it is closed. To measure traffic, to shape it, or to break it on
   * purpose. Default: the transport as it is. A local mesh has none.
   */
  readonly wrapTransport?: (own: Transport) => Transport
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

/** What a task asks for. Precedence: call site, then `with`, then the mesh, then the operation. */
export interface TaskOptions {
  /** Run only on this peer. */
  readonly peer?: string
  readonly scope?: Scope
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

/**
 * A value that stays where it was made. As an argument it becomes its value, fetched by the peer that runs the
 * task from whoever holds it; inside a value it stays a handle.
 */
export interface Chunk<T> extends Disposable {
  readonly id: string
  /** Size of the packed value. */
  readonly sizeBytes: number
  /** Id of the peer where it was made. */
  readonly home: string
  /**
   * The value. Made again from its task when no copy is left.
   * @throws ShoalError `E_CHUNK_LOST` no copy is left and none can be made; `E_HASH` what came is something else;
   *   `E_CHUNK_REF` the handle was released
   */
  get(): Promise<T>
  /** Lets go of this handle. The copies go with the last one, once no task needs them. Idempotent. */
  release(): void
}

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
  /**
   * Resolves when the task outlives this peer: another member has it, or it is on the disk of this Node
   * process. Waits for a member to come when there is none. Costs nothing unless it is called.
   * @throws ShoalError `E_CLOSED` the mesh is closed first; `E_STORAGE` a local mesh keeps nothing
   */
  durable(): Promise<void>
  /**
   * The result as a chunk, once the task has ended: it stays where it was made. A small one is put on this peer.
   * @throws ShoalError as {@link Task.fetch}; `E_FORBIDDEN` in a body
   */
  chunk(): Promise<Chunk<T>>
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
      /** Where it ran: `<peer>/<kind>/<index>`. */
      readonly processor: string | null
    }
  | {
      readonly index: number
      readonly task: readonly [Task<T>]
      readonly status: 'failed' | 'cancelled'
      readonly error: Error
      readonly peer: string | null
    }

/**
 * Many tasks of one operation that a body spawned. `await` gives all values in order; iterating gives records as
 * they complete, in which `peer` and `processor` are `null`.
 */
export interface ContextGroup<T> extends PromiseLike<T[]>, AsyncIterable<Completed<T>> {
  readonly progress: GroupProgress
  /** All values in order; rejects with the first failure. */
  fetch(): Promise<T[]>
  /** Resolves when all tasks have ended, well or not. */
  wait(): Promise<void>
  cancel(reason?: string): void
}

/** Many tasks of one operation. `await` gives all values in order; iterating gives records as they complete. */
export interface TaskGroup<T> extends ContextGroup<T> {
  readonly jobId: string
  /** Called at most once per turn of the event loop. */
  on(event: 'progress', listener: (progress: GroupProgress) => void): () => void
  /**
   * Resolves when all tasks, and the outcomes known by now, outlive this peer: as {@link Task.durable}.
   * @throws ShoalError as {@link Task.durable}
   */
  durable(): Promise<void>
}

/** Peers' events, by name. */
export interface MeshEvents {
  'peer-joined': PeerInfo
  'peer-suspected': PeerInfo
  /** `left`: said goodbye. `dead`: did not answer. `fenced`: gave this peer up, and is met again. */
  'peer-left': { readonly id: string; readonly cause: 'left' | 'dead' | 'fenced' }
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
  /** A service has another host or epoch than before. */
  'service-moved': {
    readonly service: string
    readonly name: string | null
    readonly host: string
    readonly epoch: number
  }
  /** `deleted`: by somebody. `lost`: nobody alive has its state. `crashing`: its instances died in a row. */
  'service-ended': {
    readonly service: string
    readonly name: string | null
    readonly reason: 'deleted' | 'lost' | 'crashing'
  }
  starved: { readonly job: string; readonly scope: string; readonly waiting: number }
  health: MeshHealth
}

export interface MeshHealth {
  readonly isOnline: boolean
  readonly peers: number
  readonly members: number
  readonly processors: number
  /** `'disk'`: what this peer knows of the room is kept for its next start. */
  readonly durability: 'memory' | 'disk'
  /** Why something is less than it could be, for people; empty when all is well. */
  readonly reasons: readonly string[]
}

/** Numbers of one peer. */
export interface MeshMetrics {
  /**
   * Chunks on this peer: bytes held in memory and on disk, bytes that came from and went to others, and bytes that a
   * member passed on between two contributors, which have no link to each other.
   */
  readonly chunks: {
    readonly heldBytes: number
    readonly memoryBytes: number
    readonly diskBytes: number
    readonly movedInBytes: number
    readonly movedOutBytes: number
    readonly relayedBytes: number
  }
  /** What reaches other peers at present: WebRTC, or a TCP line between two Node peers. */
  readonly links: readonly { readonly peer: string; readonly over: 'webrtc' | 'tcp' }[]
}

/** Options of {@link Mesh.map}. */
export interface MapOptions extends TaskOptions {
  /** How many tasks travel together. `'auto'` (default): as many as are ready, at most 256. */
  readonly batch?: 'auto'
}

/**
 * A peer's door to a room, or to its own workers alone. Views made by {@link Mesh.with} share
 * everything but their options.
 */
export interface Mesh extends Lending, AsyncDisposable {
  /** This peer's id. */
  readonly self: string
  readonly role: PeerRole
  /** Everybody in the room that this peer sees, itself included. */
  readonly peers: readonly PeerInfo[]
  /** Every processor in the room that this peer sees. */
  readonly processors: readonly ProcessorInfo[]
  /**
   * Runs `operation` somewhere in the mesh, once all tasks among `args` are done: they are replaced by
   * their values. Returns at once; whatever goes wrong later is the task's.
   * @param operation an {@link Operation}, a function without captures, or `withContext(...)`
   * @throws ShoalError `E_CODE` not a function that can travel; `E_FORBIDDEN` this peer only lends;
   *   `E_CLOSED` the mesh is closed; `E_OPTION` its scope has nothing that can run the operation
   */
  spawn<A extends readonly unknown[], R>(
    operation: Spawnable<A, R>,
    ...args: TaskArguments<A>
  ): Task<Awaited<R>>
  /**
   * Runs `operation` once for each item: one job, sent in batches, with one promise for all.
   * @throws ShoalError as {@link Mesh.spawn}; `E_OPTION` unknown option or bad value
   */
  map<T, R>(
    operation: Spawnable<[T], R>,
    items: Iterable<TaskArgument<T>>,
    options?: MapOptions,
  ): TaskGroup<Awaited<R>>
  /**
   * Puts a value on this peer as a chunk: tasks fetch it from here or from each other, instead of getting
   * a copy in each message.
   * @throws ShoalError `E_NOT_SERIALIZABLE`, `E_TOO_LARGE`; `E_QUOTA` there is no room; `E_FORBIDDEN` this peer only
   *   lends; `E_CLOSED` the mesh is closed
   *
   * @example
   * const table = await mesh.put(new Float32Array(1_000_000))
   * await mesh.spawn((values: Float32Array) => values.length, table)
   * table.release()
   */
  put<T>(value: T): Promise<Chunk<T>>
  /** The values of all tasks in order; rejects with the first failure. */
  all<const T extends readonly unknown[]>(tasks: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }>
  /** The first value; rejects with an `AggregateError` when all tasks failed. */
  any<T>(tasks: readonly PromiseLike<T>[]): Promise<T>
  /** The tasks in the order in which they end. Never throws for a task's failure. */
  asCompleted<T>(tasks: readonly Task<T>[]): AsyncIterable<Completed<T>>
  /**
   * Runs `body` with a view of this mesh, then waits for everything that was spawned through the view.
   * @returns what `body` returned; rejects with the first failure among body and tasks, once all ended
   */
  sync<R>(body: (mesh: Mesh) => R | PromiseLike<R>): Promise<R>
  /**
   * A view of this mesh whose tasks get these options.
   * @throws ShoalError `E_OPTION` unknown option or bad value
   */
  with(options: TaskOptions): Mesh
  /**
   * Makes a service: one instance that everybody in the room can call, and that outlives this peer. It starts
   * here; see {@link ServiceOptions} for where its state is kept.
   *
   * @example
   * class Counter {
   *   n = 0
   *   add(k: number) { return (this.n += k) }
   * }
   * const counter = await mesh.service(Counter, [], { name: 'counter' })
   * console.log(await counter.add(1), counter.$.host)
   *
   * @param shape a class that uses nothing from outside itself, or a function that makes an object
   * @param args of its constructor; at most 64 KiB
   * @throws ShoalError `E_CODE` not a class that can travel, or one whose state cannot be read; `E_OPTION`;
   *   `E_NAME_TAKEN`; `E_NOT_SERIALIZABLE` or `E_TOO_LARGE` for its arguments; `E_FORBIDDEN` this peer only
   *   lends; `E_MIGRATE` it cannot start where it was asked for; or what the constructor threw
   */
  service<const A extends readonly unknown[], T>(
    shape: ServiceShape<A, T>,
    args: A,
    options?: ServiceOptions,
  ): Promise<Service<Awaited<T>>>
  /** The services of the room. */
  readonly services: Services
  on<K extends keyof MeshEvents>(event: K, listener: (detail: MeshEvents[K]) => void): () => void
  /** The jobs of the room that this peer knows. */
  jobs(): readonly JobInfo[]
  /**
   * A handle to any task of the room, whoever spawned it.
   * @throws ShoalError `E_TASK_ID` when the text is not the id of a task
   */
  task<T = unknown>(id: string): Task<T>
  /** A handle to all tasks of a job of the room, whoever spawned it; ends when the job does. */
  group<T = unknown>(jobId: string): TaskGroup<T>
  health(): MeshHealth
  /** What this peer holds and has moved, since its mesh was opened. */
  metrics(): MeshMetrics
  /** The history of a task, peer or job as this peer knows it, oldest first. */
  explain(subject: string | Task<unknown>): readonly string[]
  /**
   * Leaves politely and stops the workers. What was not done here rejects with `E_CLOSED`; in a room
   * with other members the work itself goes on. Idempotent.
   */
  close(): Promise<void>
}

/** A place that executes. */
export interface ProcessorInfo {
  readonly id: string
  readonly kind: string
  readonly peer: string
  /** `false`: used only by tasks whose scope names it. */
  readonly isDefault: boolean
  /** Speed in units of one reference worker; 1 when unknown. */
  readonly score: number
}

export type { TaskStatus }
