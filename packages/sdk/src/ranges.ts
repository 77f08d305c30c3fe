import { type Outcome, PackedColumn, type RangeItems, type TaskOptionsRecord } from '@shoal/scheduler'
import type { Operation } from './operation.ts'
import {
  type Cell,
  isCloneSafe,
  LiveItems,
  type Row,
  SliceValues,
  toCell,
  toCells,
  toColumn,
} from './values/index.ts'
import type { ResolvedOptions } from './view.ts'

type AnyOperation = Operation<readonly unknown[], unknown>

/** Bodies that neither take a context nor wait, by hash. */
const plainBodies = new Map<string, boolean>()
const plainBodiesMax = 10_000

/**
 * Whether tasks with plain arguments may share a record with those beside them. Only workers know slices: kernels,
 * whose operation has a scope, run long enough to be told by themselves. A body that waits may wait for what the
 * next task does, which must be free to run elsewhere.
 */
export function mayBePlain(operation: AnyOperation, options: TaskOptionsRecord): boolean {
  return mayShare(operation, options) && isPlainBody(operation)
}

/** Whether the items of a map can be one record: see the rules of ranges. */
export function isRange(
  operation: AnyOperation,
  { record, after, signal }: ResolvedOptions,
  row: Row,
): boolean {
  if (!mayShare(operation, record) || row.length < 2 || after.length > 0 || signal?.reason() != null)
    return false
  if (operation.record.source.includes('takesContext')) return false
  return row instanceof Float64Array || isCloneSafe(row)
}

function mayShare({ scope }: AnyOperation, { timeoutMs }: TaskOptionsRecord): boolean {
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

/** Instead of a row: the task needs a record of its own. */
export const notPlain: unique symbol = Symbol('not plain')

/** What stands for a plain task in a range. `isPacked`: as it is at this moment, and not if it is big. */
export function rowOf(args: readonly unknown[], isPacked: boolean): unknown {
  const row = args.length === 1 ? args[0] : args
  if (!isPacked) return row
  try {
    return toCell(row) ?? notPlain
  } catch {
    // Packed alone it says what is wrong.
    return notPlain
  }
}

/** The items of a range of such rows. */
export function itemsOf(rows: readonly unknown[], isSingle: boolean, isPacked: boolean): RangeItems {
  return isPacked ? toColumn(rows as readonly Cell[], isSingle) : new LiveItems(rows, isSingle)
}

/** The items of a map as a range; `null`: some are too big. */
export function rangeOf(row: Row, isPacked: boolean): RangeItems | null {
  if (!isPacked) return new LiveItems(row, true)
  try {
    const cells = toCells(row)
    return cells === null ? null : toColumn(cells, true)
  } catch {
    return null
  }
}

/** Numbers that came packed are values again, at once for all tasks of a slice. */
export function withNumbers(outcome: Outcome): Outcome {
  if (outcome.status !== 'done' || !(outcome.value instanceof PackedColumn)) return outcome
  const { numbers } = outcome.value
  return numbers === null ? outcome : { ...outcome, value: new SliceValues(numbers, null) }
}
