import type { TaskOptionsRecord } from '@shoal/scheduler'
import type { Operation } from './operation.ts'
import { isCloneSafe, type Row } from './values/index.ts'
import type { ResolvedOptions } from './view.ts'

type AnyOperation = Operation<readonly unknown[], unknown>

/** Bodies that neither take a context nor wait, by hash. */
const plainBodies = new Map<string, boolean>()
const plainBodiesMax = 10_000

/**
 * Whether a task may share its record with those beside it. Only workers know slices: kernels, which have a scope,
 * run long enough to be told by themselves. A body that waits may wait for what the next task does, which must be
 * free to run elsewhere.
 */
export function isPlainTask(
  operation: AnyOperation,
  options: TaskOptionsRecord,
  args: readonly unknown[],
): boolean {
  return mayShare(options) && isPlainBody(operation) && isCloneSafe(args)
}

/** Whether the items of a map can be one record: see the rules of ranges. */
export function isRange(
  operation: AnyOperation,
  { record, after, signal }: ResolvedOptions,
  row: Row,
): boolean {
  if (!mayShare(record) || row.length < 2 || after.length > 0 || signal?.reason() != null) return false
  if (operation.record.source.includes('takesContext')) return false
  return row instanceof Float64Array || isCloneSafe(row)
}

function mayShare({ timeoutMs, scope }: TaskOptionsRecord): boolean {
  return timeoutMs === 0 && scope.type === 'default'
}

function isPlainBody({ record: { hash, source } }: AnyOperation): boolean {
  const known = plainBodies.get(hash)
  if (known !== undefined) return known
  const isPlain = !/takesContext|async|await|Promise|then/.test(source)
  if (plainBodies.size >= plainBodiesMax) plainBodies.clear()
  plainBodies.set(hash, isPlain)
  return isPlain
}
