import {
  noNeeds,
  type OperationHash,
  type RangeItems,
  type Runtime,
  type TaskOptionsRecord,
  type TaskSpec,
} from '@shoal/scheduler'
import type { JobBook } from './job-book.ts'

/** Tasks in a row that differ in their numbers and arguments alone. */
interface Run {
  readonly first: number
  readonly operation: OperationHash
  readonly options: TaskOptionsRecord
  /** Each row is the only argument of its task, otherwise the list of its arguments. */
  readonly isSingle: boolean
  readonly rows: unknown[]
}

export interface PlainTask {
  readonly no: number
  readonly operation: OperationHash
  readonly options: TaskOptionsRecord
  readonly row: unknown
  /** The row is the only argument, otherwise the list of all. */
  readonly isSingle: boolean
}

/** Tasks of one job that have not left. */
export interface PendingTasks {
  readonly isEmpty: boolean
  add(spec: TaskSpec): void
  /** A task that needs no record of its own: those in a row with one operation leave as one range. */
  addPlain(task: PlainTask): void
  /** Hands all over, in their order. */
  flush(job: Pick<JobBook, 'id' | 'name'>): void
}

/** @param itemsOf makes the items of a range from its rows */
export function createPending(
  runtime: Pick<Runtime, 'submit' | 'submitRange'>,
  itemsOf: (rows: readonly unknown[], isSingle: boolean) => RangeItems,
): PendingTasks {
  let pending: (TaskSpec | Run)[] = []
  let run: Run | null = null
  return {
    get isEmpty() {
      return pending.length === 0
    },
    add(spec) {
      run = null
      pending.push(spec)
    },
    addPlain({ no, operation, options, row, isSingle }) {
      const canFollow =
        run !== null &&
        run.isSingle === isSingle &&
        run.operation === operation &&
        run.options === options &&
        run.first + run.rows.length === no
      if (run !== null && canFollow) {
        run.rows.push(row)
        return
      }
      run = { first: no, operation, options, isSingle, rows: [row] }
      pending.push(run)
    },
    flush({ id, name }) {
      const given = pending
      pending = []
      run = null
      let specs: TaskSpec[] = []
      const submitSpecs = (): void => {
        if (specs.length > 0) runtime.submit(id, name, specs)
        specs = []
      }
      for (const entry of given) {
        if (!('rows' in entry)) {
          specs.push(entry)
          continue
        }
        const { first, operation, options, rows } = entry
        const items = itemsOf(rows, entry.isSingle)
        if (rows.length > 1) {
          submitSpecs()
          runtime.submitRange(id, name, { first, operation, options, items })
        } else specs.push({ no: first, operation, args: items.at(0), needs: noNeeds, options, parent: null })
      }
      submitSpecs()
    },
  }
}
