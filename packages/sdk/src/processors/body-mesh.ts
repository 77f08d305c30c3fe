import { type OperationRecord, ShoalError, type TaskOptionsRecord } from '@shoal/scheduler'
import { operationFrom } from '../code/index.ts'
import type { ContextMesh, ContextOptions } from '../context.ts'
import type { Operation } from '../operation.ts'
import { checkTaskOptions, mergeTaskOptions, toOptionsRecord } from '../options.ts'
import type { Chunk, TaskOptions } from '../types.ts'
import { createBodyGroup } from './body-group.ts'
import type { BodyTask } from './body-task.ts'

/** An operation with the options that its task asks for. */
export interface BodyOperation {
  readonly record: OperationRecord
  readonly options: TaskOptionsRecord
}

/** What the mesh of a body is made of. */
export interface BodyMeshParts {
  spawn(operation: BodyOperation, args: readonly unknown[]): BodyTask
  put(value: unknown): Promise<Chunk<unknown>>
}

/** The mesh as a body sees it. @param view options of everything that is spawned through it */
export function createBodyMesh(parts: BodyMeshParts, view: TaskOptions = {}): ContextMesh {
  const mesh = {
    spawn: (operation: unknown, ...args: unknown[]) => parts.spawn(operationOf(operation, view), args),
    map(operation: unknown, items: Iterable<unknown>) {
      const found = operationOf(operation, view)
      return createBodyGroup(Array.from(items, (item) => parts.spawn(found, [item])))
    },
    put: (value: unknown) => parts.put(value),
    all: (tasks: readonly unknown[]) => Promise.all(tasks),
    with(options: ContextOptions) {
      checkBodyOptions(options)
      return createBodyMesh(parts, mergeTaskOptions(view, options))
    },
  }
  return mesh as unknown as ContextMesh
}

type Handed = Pick<Operation<readonly unknown[], unknown>, 'scope' | 'defaults' | 'callSite'> & {
  readonly record: OperationRecord
}

const handedRecords = new WeakMap<object, OperationRecord>()

/** What a body may spawn: functions, marked bodies, and operations that came as arguments, as plain data. */
function operationOf(operation: unknown, view: TaskOptions): BodyOperation {
  if (typeof operation !== 'object' || operation === null || !('record' in operation))
    return { record: operationFrom(operation), options: toOptionsRecord(view) }
  const { record, scope, defaults, callSite } = operation as Handed
  for (const options of [defaults, callSite]) checkBodyOptions(options)
  const { source, exportName, name } = record
  // Its hash is made anew: what came with it may be anything.
  const known = handedRecords.get(operation) ?? operationFrom({ source, export: exportName }, { name })
  handedRecords.set(operation, known)
  return { record: known, options: toOptionsRecord(mergeTaskOptions(defaults, view, callSite), scope) }
}

/** @throws ShoalError `E_OPTION` */
function checkBodyOptions(options: TaskOptions): void {
  checkTaskOptions(options)
  const { after, signal } = options
  if (after === undefined && signal === undefined) return
  const name = signal === undefined ? 'after' : 'signal'
  const text = `Cannot use option "${name}" in a body as only a mesh can: current value is given`
  throw new ShoalError('E_OPTION', text, { data: { option: name } })
}
