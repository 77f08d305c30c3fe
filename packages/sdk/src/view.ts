import type { TaskOptionsRecord } from '@shoal/scheduler'
import type { Operation } from './operation.ts'
import { checkTaskOptions, mergeTaskOptions, toOptionsRecord } from './options.ts'
import { mayBePlain } from './ranges.ts'
import { type Cancellable, type SignalTasks, signalTasks } from './signal-tasks.ts'
import type { Task, TaskOptions } from './types.ts'

/** What the options of one call come to. Shared by all calls with the same options. */
export interface ResolvedOptions {
  readonly record: TaskOptionsRecord
  readonly after: readonly Task<unknown>[]
  readonly signal: SignalTasks | null
  /** Tasks with them whose arguments are plain may share a record: see the rules of ranges. */
  readonly isPlain: boolean
}

/** Something that `sync` waits for. */
export interface Waitable extends Cancellable {
  wait(): Promise<void>
  fetch(): Promise<unknown>
}

/** The options of one view of a mesh, ready to be used for many calls. */
export interface View {
  /** The options for tasks of `operation`. */
  optionsFor(operation: Operation<readonly unknown[], unknown>, callSite?: TaskOptions): ResolvedOptions
  /** A view with further options. */
  with(options: TaskOptions): View
  /** A view that notes everything spawned through it. */
  tracking(spawned: Waitable[]): View
  /** Called for everything that is spawned through the view. */
  note(spawned: Waitable): void
}

const noTasks: readonly Task<unknown>[] = Object.freeze([])

function resolve(
  operation: Operation<readonly unknown[], unknown>,
  ...layers: readonly (TaskOptions | undefined)[]
): ResolvedOptions {
  const merged = mergeTaskOptions(operation.defaults, ...layers)
  const record = toOptionsRecord(merged, operation.scope)
  const after = merged.after === undefined ? noTasks : [...merged.after]
  const signal = merged.signal === undefined ? null : signalTasks(merged.signal)
  const isPlain = after.length === 0 && mayBePlain(operation, record)
  return { record, after, signal, isPlain }
}

/**
 * Makes a view.
 * @param defaults the mesh's own
 * @param given those of `with`, the outermost merged first
 */
export function createView(
  defaults: TaskOptions,
  given: TaskOptions = {},
  trackers: readonly Waitable[][] = [],
): View {
  const cache = new WeakMap<object, ResolvedOptions>()
  const view: View = {
    optionsFor(operation, callSite) {
      if (callSite !== undefined) return resolve(operation, defaults, given, operation.callSite, callSite)
      let resolved = cache.get(operation)
      if (resolved === undefined) {
        resolved = resolve(operation, defaults, given, operation.callSite)
        cache.set(operation, resolved)
      }
      return resolved
    },
    with(options) {
      checkTaskOptions(options)
      return createView(defaults, mergeTaskOptions(given, options), trackers)
    },
    tracking: (spawned) => createView(defaults, given, [...trackers, spawned]),
    note(spawned) {
      for (const tracker of trackers) tracker.push(spawned)
    },
  }
  return view
}
