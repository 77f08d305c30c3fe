import { markContext } from './code/index.ts'
import type { ContextBody, Spawnable, TaskArguments } from './operation.ts'
import type { Task } from './types.ts'

/** What a running body can do with the mesh: spawn further tasks and wait for them. */
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
