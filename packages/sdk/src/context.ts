import { markContext } from './code/index.ts'
import type { ContextBody, Spawnable, TaskArgument, TaskArguments } from './operation.ts'
import type { Chunk, ContextGroup, Task, TaskOptions } from './types.ts'

/** Options of tasks that bodies spawn. */
export type ContextOptions = Omit<TaskOptions, 'after' | 'signal'>

/**
 * What a running body can do with the mesh: spawn further tasks, kernels among them, and wait for them. They belong
 * to the same job. An operation made elsewhere comes as an argument: `ctx.mesh.spawn(blur, { image })`.
 */
export interface ContextMesh {
  /**
   * Adds a task to the job of the running task. Awaiting it frees the processor meanwhile.
   * @throws ShoalError `E_CODE` when the function cannot travel
   */
  spawn<A extends readonly unknown[], R>(
    operation: Spawnable<A, R>,
    ...args: TaskArguments<A>
  ): Task<Awaited<R>>
  /** The same for a body that spawns itself by its own name. */
  spawn<A extends readonly unknown[], R>(
    self: (context: TaskContext, ...args: A) => R,
    ...args: TaskArguments<A>
  ): Task<Awaited<R>>
  /**
   * Adds a task for each item to the job of the running task.
   * @throws ShoalError `E_CODE` when the function cannot travel
   */
  map<T, R>(operation: Spawnable<[T], R>, items: Iterable<TaskArgument<T>>): ContextGroup<Awaited<R>>
  /** The same for a body that spawns itself by its own name. */
  map<T, R>(
    self: (context: TaskContext, item: T) => R,
    items: Iterable<TaskArgument<T>>,
  ): ContextGroup<Awaited<R>>
  /**
   * Puts a value on the peer that runs the body, as a chunk: it is kept there until 60 seconds after the body's
   * end, and for as long as somebody has a handle. Give handles back inside the body's value.
   * @throws ShoalError `E_NOT_SERIALIZABLE`, `E_TOO_LARGE`; `E_QUOTA` there is no room
   */
  put<T>(value: T): Promise<Chunk<T>>
  /**
   * The same mesh with options for what is spawned through it. Without any a task has those of the running one. A
   * scope reaches no peer that the running task could not have run on.
   * @throws ShoalError `E_OPTION` unknown option or bad value
   */
  with(options: ContextOptions): ContextMesh
  /** The values of all tasks in order; rejects with the first failure. */
  all<const T extends readonly unknown[]>(tasks: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }>
}

/** What a body made by `withContext` gets as its first argument. */
export interface TaskContext {
  readonly mesh: ContextMesh
  /** Aborts when the task is cancelled; the body then has 50 ms before its worker is stopped. */
  readonly signal: AbortSignal
  /** Tells how far the body is: 0 to 1. */
  progress(fraction: number): void
  /** The same for every attempt of this task: give it to whatever must not act twice. */
  readonly idempotencyKey: string
  /** Number of this execution: unique within the job, also over several owners. Not a count. */
  readonly attempt: number
  /** Id of the processor that runs the body; it starts with the peer's id. */
  readonly processor: string
  log(...values: readonly unknown[]): void
}

/**
 * Marks a body that takes its context before its arguments. Works for inline functions and operations.
 *
 * @example
 * const fib = withContext(async function fib(ctx, n: number): Promise<number> {
 *   if (n < 2) return n
 *   const [left, right] = await ctx.mesh.all([ctx.mesh.spawn(fib, n - 1), ctx.mesh.spawn(fib, n - 2)])
 *   return left + right
 * })
 * await mesh.spawn(fib, 10)
 *
 * @throws ShoalError `E_CODE` when `body` is not a function
 */
export function withContext<A extends readonly unknown[], R>(
  body: (context: TaskContext, ...args: A) => R,
): ContextBody<A, R> {
  return markContext(body) as unknown as ContextBody<A, R>
}

export type { ContextBody }
