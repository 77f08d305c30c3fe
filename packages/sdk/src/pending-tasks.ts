import {
  noNeeds,
  type OperationHash,
  type Runtime,
  type TaskOptionsRecord,
  type TaskSpec,
} from '@shoal/scheduler'
import type { JobBook } from './job-book.ts'
import { LiveItems, LivePayload } from './values/index.ts'

/** Tasks in a row that differ in their numbers and arguments alone. */
interface Run {
  /** Of the first one. */
  readonly spec: TaskSpec
  readonly isSingle: boolean
  readonly rows: unknown[]
}

function canFollow(
  { spec, rows }: Run,
  no: number,
  operation: OperationHash,
  options: TaskOptionsRecord,
): boolean {
  return spec.operation === operation && spec.options === options && spec.no + rows.length === no
}

/** Tasks of one job that have not left. */
export interface PendingTasks {
  readonly isEmpty: boolean
  add(spec: TaskSpec): void
  /** A task that needs no record of its own: those in a row with one operation leave as one range. */
  addPlain(no: number, operation: OperationHash, options: TaskOptionsRecord, args: readonly unknown[]): void
  /** Hands all over, in their order. */
  flush(job: Pick<JobBook, 'id' | 'name'>): void
}

export function createPending(runtime: Pick<Runtime, 'submit' | 'submitRange'>): PendingTasks {
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
    addPlain(no, operation, options, args) {
      const isSingle = args.length === 1
      const row = isSingle ? args[0] : args
      if (run !== null && run.isSingle === isSingle && canFollow(run, no, operation, options)) {
        run.rows.push(row)
        return
      }
      const spec = { no, operation, args: new LivePayload(args), needs: noNeeds, options, parent: null }
      run = { spec, isSingle, rows: [row] }
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
        if ('rows' in entry && entry.rows.length > 1) {
          submitSpecs()
          const { no: first, operation, options } = entry.spec
          const items = new LiveItems(entry.rows, entry.isSingle)
          runtime.submitRange(id, name, { first, operation, options, items })
        } else specs.push('rows' in entry ? entry.spec : entry)
      }
      submitSpecs()
    },
  }
}
