import { defaultScope, type OperationRecord, type Scope, ShoalError } from '@shoal/scheduler'
import { type ModuleText, operationFrom } from './code/index.ts'
import type { TaskContext } from './context.ts'
import { checkTaskOptions, mergeTaskOptions } from './options.ts'
import type { Chunk, Task, TaskOptions } from './types.ts'

declare const signature: unique symbol

/**
 * A function that every peer of a room can run: a module addressed by its content. Making one is only
 * needed for a name or for defaults; `mesh.spawn` takes plain functions as well.
 */
export interface Operation<A extends readonly unknown[], R> {
  /** Shown to people; not part of the identity. */
  readonly name: string
  readonly record: OperationRecord
  /** Which processors can run it; a task's own scope narrows this. */
  readonly scope: Scope
  /** Options of its tasks that nobody else decides. */
  readonly defaults: TaskOptions
  /** Options of this call site: they win over all others. */
  readonly callSite: TaskOptions
  /**
   * The same operation with options of this call site.
   * @throws ShoalError `E_OPTION` unknown option or bad value
   */
  with(options: TaskOptions): Operation<A, R>
  /** Carries the types only. */
  readonly [signature]?: (...args: A) => R
}

declare const contextSignature: unique symbol

/** A body that takes its context first; made by `withContext`. */
export interface ContextBody<A extends readonly unknown[], R> {
  readonly [contextSignature]: (context: TaskContext, ...args: A) => R
}

/** What can be spawned: an operation, a function without captures, or a body that takes its context. */
export type Spawnable<A extends readonly unknown[], R> =
  | Operation<A, R>
  | ContextBody<A, R>
  | ((...args: A) => R)

/** A value, the task that makes it, or the chunk that it is. */
export type TaskArgument<T> = T | Task<T> | Chunk<T>

/** The arguments of an operation, each a value or the task that makes it. */
export type TaskArguments<A extends readonly unknown[]> = { [K in keyof A]: TaskArgument<A[K]> }

const noOptions: TaskOptions = Object.freeze({})

class OperationView<A extends readonly unknown[], R> implements Operation<A, R> {
  readonly record: OperationRecord
  readonly scope: Scope
  readonly defaults: TaskOptions
  readonly callSite: TaskOptions

  constructor(record: OperationRecord, scope: Scope, defaults: TaskOptions, callSite: TaskOptions) {
    this.record = record
    this.scope = scope
    this.defaults = defaults
    this.callSite = callSite
    Object.freeze(this)
  }

  get name(): string {
    return this.record.name
  }

  with(options: TaskOptions): Operation<A, R> {
    checkTaskOptions(options)
    return new OperationView(this.record, this.scope, this.defaults, mergeTaskOptions(this.callSite, options))
  }
}

/** Operations made from plain functions: each function is read once. */
const fromFunctions = new WeakMap<object, OperationView<readonly unknown[], unknown>>()

/**
 * Names a function that peers can run, and gives its tasks defaults. The function must be
 * self-contained: it travels as text, so it can use its arguments and the platform, nothing else.
 *
 * @example
 * const add1 = operation('add1', (x: number) => x + 1, { timeoutMs: 1_000 })
 * await mesh.spawn(add1, 41)
 *
 * @param name shown in errors, events and pictures; 1 to 200 characters
 * @param body the function, `withContext(...)`, or the text of a module
 * @param defaults options of its tasks; every other place wins over them
 * @throws ShoalError `E_CODE` a native, bound or generator function, or a class; `E_OPTION` bad name or defaults
 */
export function operation<A extends readonly unknown[], R>(
  name: string,
  body: ((...args: A) => R) | ContextBody<A, R> | ModuleText,
  defaults: TaskOptions = noOptions,
): Operation<A, R> {
  checkTaskOptions({ name })
  return operationView(operationFrom(body, { name }), defaultScope, defaults)
}

const onGpus: Scope = Object.freeze({ type: 'kind', kind: 'webgpu' })
const onGpusAndWorkers: Scope = Object.freeze({ type: 'union', scopes: [onGpus, defaultScope] })

/** An operation for GPUs: `source` is the text of its module, with the WGSL inside. */
export function kernelOperation<A extends readonly unknown[], R>(
  name: string,
  source: string,
  hasFallback: boolean,
  defaults: TaskOptions,
): Operation<A, R> {
  const scope = hasFallback ? onGpusAndWorkers : onGpus
  return operationView(operationFrom({ source }, { name }), scope, defaults)
}

function operationView<A extends readonly unknown[], R>(
  record: OperationRecord,
  scope: Scope,
  defaults: TaskOptions,
): Operation<A, R> {
  checkTaskOptions(defaults)
  if (defaults.signal !== undefined || defaults.after !== undefined)
    throw new ShoalError(
      'E_OPTION',
      `Cannot define operation "${record.name}" as "signal" and "after" must be given per call: current value is a default`,
    )
  return new OperationView<A, R>(record, scope, Object.freeze({ ...defaults }), noOptions)
}

/** The operation behind anything that can be spawned. */
export function toOperation(spawnable: unknown): Operation<readonly unknown[], unknown> {
  if (spawnable instanceof OperationView) return spawnable
  if (typeof spawnable !== 'function' && (typeof spawnable !== 'object' || spawnable === null))
    throw new ShoalError(
      'E_CODE',
      `Cannot spawn a task as its operation must be a function or an operation: current value is ${String(spawnable)}`,
    )
  const known = fromFunctions.get(spawnable)
  if (known !== undefined) return known
  const made = new OperationView<readonly unknown[], unknown>(
    operationFrom(spawnable),
    defaultScope,
    noOptions,
    noOptions,
  )
  fromFunctions.set(spawnable, made)
  return made
}
