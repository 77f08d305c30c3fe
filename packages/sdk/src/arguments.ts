import { errorRecord, type Need, noNeeds, type Outcome, ShoalError, taskIdOf } from '@shoal/scheduler'
import { TaskHandle } from './task.ts'
import type { Task } from './types.ts'

/** Arguments with their tasks taken out: each is a value by now, or a need. */
export interface LinkedArguments {
  readonly needs: readonly Need[]
  /** How the new task has ended already, as an input of it has failed; else `null`. */
  readonly early: Outcome | null
}

const plain: LinkedArguments = Object.freeze({ needs: noNeeds, early: null })

/**
 * Replaces the tasks among `args` (in place): by their values where they are done, else by a need.
 * Only the arguments themselves are looked at; a task inside an object stays a handle.
 * @param space the mesh's own; tasks of another one cannot meet its tasks
 * @throws ShoalError `E_FOREIGN_TASK` for a task of another mesh
 */
export function linkArguments(
  args: unknown[],
  after: readonly Task<unknown>[],
  space: string,
): LinkedArguments {
  if (after.length === 0 && !hasTask(args)) return plain
  const needs: Need[] = []
  let early: Outcome | null = null
  const link = (task: TaskHandle<unknown>, index: number): unknown => {
    const { outcome } = task
    if (outcome === null) {
      needs.push({ index, task: neededRef(task, space) })
      return undefined
    }
    if (outcome.status === 'done') return index < 0 ? undefined : task.book.keeper.read(outcome.value)
    early ??= outcomeOfBadInput(task, outcome)
    return undefined
  }
  args.forEach((arg, index) => {
    if (arg instanceof TaskHandle) args[index] = link(arg, index)
  })
  for (const task of after) if (task instanceof TaskHandle) link(task, -1)
  return { needs, early }
}

/** Asked for every task: a loop makes nothing. */
function hasTask(args: readonly unknown[]): boolean {
  for (let index = 0; index < args.length; index++) if (args[index] instanceof TaskHandle) return true
  return false
}

function neededRef(task: TaskHandle<unknown>, space: string): Need['task'] {
  if (task.book.keeper.space === space) return task.ref
  throw new ShoalError(
    'E_FOREIGN_TASK',
    `Cannot use task "${task.id}" as an input as it must belong to the same room: current value is of another mesh`,
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
