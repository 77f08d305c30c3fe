import {
  type ChunkNeed,
  ChunkPayload,
  defaultScope,
  errorRecord,
  type Need,
  noNeeds,
  type Outcome,
  ShoalError,
  type TaskRef,
  taskIdOf,
} from '@shoal/scheduler'
import { ChunkHandle } from './chunk.ts'
import type { ChunkBook, PackedArguments } from './chunk-book.ts'
import { openFields } from './kernel-arguments.ts'
import type { Operation } from './operation.ts'
import { TaskHandle } from './task.ts'
import type { Task } from './types.ts'
import { errorToRecord } from './values/index.ts'

/** Arguments with their tasks taken out: each is a value by now, or a need. */
interface LinkedArguments {
  readonly needs: readonly Need[]
  readonly chunks: readonly ChunkNeed[]
  /** How the new task has ended already, as an input of it has failed; else `null`. */
  readonly early: Outcome | null
}

/** Arguments as they are sent. */
export interface ReadyArguments extends PackedArguments {
  readonly needs: readonly Need[]
  readonly chunks: readonly ChunkNeed[]
}

/** A task or a chunk: as an argument it becomes its value. */
export function isWaiting(arg: unknown): arg is TaskHandle<unknown> | ChunkHandle<unknown> {
  return arg instanceof TaskHandle || arg instanceof ChunkHandle
}

/** Whose task it is, for {@link prepareArguments}. */
export interface ArgumentsParts {
  readonly chunks: ChunkBook
  /** What the task is called if it cannot be sent. */
  readonly origin: TaskRef
  /** Values need not be packed. */
  readonly isLive: boolean
}

/**
 * Arguments as they are sent; or how the task has ended, as they cannot be.
 * @throws ShoalError `E_FOREIGN_TASK`, `E_CHUNK_REF` a released chunk
 */
export function prepareArguments(
  { scope, record }: Operation<readonly unknown[], unknown>,
  given: unknown[],
  after: readonly Task<unknown>[],
  { chunks: book, origin, isLive }: ArgumentsParts,
): ReadyArguments | Outcome {
  const attempt = <T>(action: () => T): T | Extract<Outcome, { readonly status: 'failed' }> => {
    try {
      return action()
    } catch (error) {
      // As where the chunk is an argument itself.
      if (error instanceof ShoalError && error.code === 'E_CHUNK_REF') throw error
      return { status: 'failed', error: errorToRecord(error), origin, attempts: 0, peer: null }
    }
  }
  // Only kernels have a scope of their own.
  const args = scope === defaultScope ? given : attempt(() => [...openFields(record, given, isWaiting)])
  if ('status' in args) return args
  const { needs, chunks, early } = linkArguments(args, after, book.space)
  if (early !== null) return early
  const packed = attempt(() => book.pack(args, isLive))
  return 'status' in packed ? packed : { ...packed, needs, chunks }
}

const plain: LinkedArguments = Object.freeze({ needs: noNeeds, chunks: [], early: null })

/**
 * Replaces the tasks and chunks among `args` (in place): tasks that are done by their values, else by a need,
 * chunks by references. Only the arguments themselves are looked at; what lies inside an object stays a handle.
 * @param space the mesh's own; tasks of another one cannot meet its tasks
 * @throws ShoalError `E_FOREIGN_TASK` for a task of another mesh
 */
function linkArguments(args: unknown[], after: readonly Task<unknown>[], space: string): LinkedArguments {
  if (after.length === 0 && !hasHandle(args)) return plain
  const needs: Need[] = []
  const chunks: ChunkNeed[] = []
  let early: Outcome | null = null
  const link = (task: TaskHandle<unknown>, index: number): unknown => {
    const { outcome } = task
    if (outcome === null) {
      needs.push({ index, task: neededRef(task, space) })
      return undefined
    }
    if (outcome.status === 'done') {
      if (index < 0) return undefined
      if (!(outcome.value instanceof ChunkPayload)) return task.book.keeper.read(outcome.value)
      assertSpace(task.id, task.book.keeper.space, space)
      chunks.push({ index, chunk: outcome.value })
      return undefined
    }
    early ??= outcomeOfBadInput(task, outcome)
    return undefined
  }
  args.forEach((arg, index) => {
    if (arg instanceof TaskHandle) args[index] = link(arg, index)
    if (!(arg instanceof ChunkHandle)) return
    assertSpace(arg.id, arg.space, space)
    chunks.push({ index, chunk: arg.payload })
    args[index] = undefined
  })
  for (const task of after) if (task instanceof TaskHandle) link(task, -1)
  return { needs, chunks, early }
}

/** Asked for every task: a loop makes nothing. */
function hasHandle(args: readonly unknown[]): boolean {
  for (let index = 0; index < args.length; index++) if (isWaiting(args[index])) return true
  return false
}

function neededRef(task: TaskHandle<unknown>, space: string): Need['task'] {
  assertSpace(task.id, task.book.keeper.space, space)
  return task.ref
}

function assertSpace(id: string, found: string, space: string): void {
  if (found === space) return
  throw new ShoalError(
    'E_FOREIGN_TASK',
    `Cannot use "${id}" as an input as it must belong to the same room: current value is of another mesh`,
  )
}

/** The scheduler's own rule: a failed input passes its outcome on, a cancelled one becomes a failure. */
function outcomeOfBadInput(
  task: TaskHandle<unknown>,
  outcome: Exclude<Outcome, { readonly status: 'done' }>,
): Outcome {
  if (outcome.status === 'failed') return outcome
  const text = `Cannot run a task as its input "${taskIdOf(task.ref)}" was cancelled: ${outcome.reason}`
  return {
    status: 'failed',
    error: errorRecord('E_CANCELLED', text),
    origin: task.ref,
    attempts: 0,
    peer: null,
  }
}
