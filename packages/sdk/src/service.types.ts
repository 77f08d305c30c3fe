import type { ContextBody } from './operation.ts'

/** Options of {@link Mesh.service}. */
export interface ServiceOptions {
  /** Under this name everybody in the room finds it; one service per name. 1 to 200 characters. */
  readonly name?: string
  /** The member that hosts it first. Default: this peer. Not with durability `'none'`: it cannot be moved. */
  readonly peer?: string
  /**
   * What of its state outlives its host. `'snapshot'` (default): one other member has the state after each
   * call before the call is answered. `'journal'`: it has the calls instead, and repeats them on the last
   * snapshot: for large states and calls that always do the same. `'none'`: it starts again as it was made,
   * and calls under way fail with {@link ServiceRestartedError}.
   */
  readonly durability?: 'none' | 'snapshot' | 'journal'
  /** With `'journal'`: calls between two snapshots, which shorten the journal. Default 1,000. */
  readonly every?: number
  /**
   * Who may go on alone when the only two members that know the state lose each other. `'available'`
   * (default): either; when both did, the state of one is dropped as they meet again. `'strict'`: neither.
   */
  readonly consistency?: 'available' | 'strict'
  /** Gives up while the service is being made: the promise rejects with the signal's reason, and the name is free. */
  readonly signal?: AbortSignal
}

/** One call of a service: its promise is made only when somebody asks for it. */
export interface ServiceCall<T> extends PromiseLike<T> {
  /** The value; rejects with what the method threw, or with a `ShoalError` that says what happened. */
  fetch(): Promise<T>
  /** Resolves when the call has ended, well or not. */
  wait(): Promise<void>
  isReady(): boolean
}

/** What is known of a service here. */
export interface ServiceInfo {
  readonly id: string
  readonly name: string | null
  /** The member where it lives; `null` while nobody here knows. */
  readonly host: string | null
  /** Rises each time another host, or another follower, takes its place. */
  readonly epoch: number
  /** The member that has its state besides the host; `null`: nothing outlives the host. */
  readonly follower: string | null
}

/** What {@link ServiceControl.stats} gives. */
export interface ServiceStats extends ServiceInfo {
  readonly durability: 'none' | 'snapshot' | 'journal'
  /** Calls that its present instance has run; 0 on peers that do not host it. */
  readonly callsRun: number
  /** Calls that wait at the host; 0 on peers that do not host it. */
  readonly callsOpen: number
}

/** The handle's own side: what is no method of the service. */
export interface ServiceControl extends ServiceInfo {
  stats(): ServiceStats
  /**
   * Moves it to another member; calls go on there, none is lost.
   * @throws ShoalError `E_MIGRATE` when it cannot move there, `E_OPTION` no id, `E_FORBIDDEN` only members can,
   *   `E_SERVICE_AWAY` not done after 30 s, `E_SERVICE_DELETED`, `E_NO_SERVICE`
   */
  migrate(peer: string): Promise<void>
  /**
   * Ends it for everybody: calls that wait reject with `E_SERVICE_DELETED`, and its name is free.
   * @throws ShoalError `E_FORBIDDEN` only members can, `E_SERVICE_AWAY` not done after 30 s, `E_NO_SERVICE`
   */
  delete(): Promise<void>
}

/** Methods that a handle has: those of the service, without the ones that only its host calls. */
type MethodNames<T> = {
  [K in keyof T]: K extends '$' | 'then' | 'snapshot' | 'restore'
    ? never
    : T[K] extends (...args: never[]) => unknown
      ? K
      : T[K] extends ContextBody<never, unknown>
        ? K
        : never
}[keyof T]

type Caller<F> =
  F extends ContextBody<infer A, infer R>
    ? (...args: A) => ServiceCall<Awaited<R>>
    : F extends (...args: infer A) => infer R
      ? (...args: A) => ServiceCall<Awaited<R>>
      : never

/**
 * A handle to a service, wherever it lives: its methods, each as a call over the room, and `$`. It goes on
 * by itself when the service moves, may be passed to tasks and services, and is no promise.
 */
export type Service<T> = { readonly [K in MethodNames<T>]: Caller<T[K]> } & { readonly $: ServiceControl }

/** What a service is made from: a class, or a function that makes an object. */
export type ServiceShape<A extends readonly unknown[], T> =
  | (new (
      ...args: A
    ) => T)
  | ((...args: A) => T)
  | ContextBody<A, T>

/** Options of {@link Services.lookup}. */
export interface LookupOptions {
  /**
   * How long to wait for somebody to register the name, in milliseconds; 0: only what is known here now. Default: as
   * long as the word of one that exists can take, 1 s, or 3 s after this peer met another; 0 where there is no room.
   */
  readonly timeoutMs?: number
}

/** The services of the room, by name. */
export interface Services {
  /**
   * The service of that name, also one that another member has made just now.
   *
   * @example
   * const counter = await mesh.services.lookup<Counter>('counter', { timeoutMs: 10_000 })
   *
   * @throws ShoalError `E_NO_SERVICE` nobody has registered it in time, or this peer is no member, which alone
   *   know names; `E_OPTION`; `E_CLOSED` the mesh is closed
   */
  lookup<T>(name: string, options?: LookupOptions): Promise<Service<T>>
  /** Those that this peer knows. */
  list(): readonly ServiceInfo[]
}
