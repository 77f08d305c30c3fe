import type {
  JobId,
  OperationRecord,
  OperationStore,
  OutcomeRecord,
  RangeSpec,
  TaskSpec,
} from '@shoal/scheduler'
import {
  cutRange,
  estimateOutcome,
  estimateSpec,
  packOperations,
  packOutcomes,
  packRange,
  packSpecs,
} from './batch.ts'
import type { ReplicatedDocument } from './document.ts'
import type { ReplicaLimits } from './limits.ts'
import type { Entry } from './seals.ts'

/** What was written for a job since the last flush. */
export interface JobBuffer {
  /** In the order in which they were written. */
  readonly specs: (TaskSpec | RangeSpec)[]
  readonly operations: OperationRecord[]
  readonly outcomes: Map<number, OutcomeRecord[]>
}

/** The entries that say it, with the code that the document lacks. */
export function jobEntries(
  document: ReplicatedDocument,
  job: JobId,
  buffer: JobBuffer,
  options: { readonly operations: OperationStore; readonly limits: ReplicaLimits },
): Entry[] {
  const entries: Entry[] = []
  const wanted = buffer.operations.filter(({ hash }) => !document.operations.has(hash))
  for (const { hash } of wanted) document.operations.add(hash)
  for (const { operation: hash } of buffer.specs) {
    if (document.operations.has(hash)) continue
    const operation = options.operations.get(hash)
    if (operation === null || operation.source.length > options.limits.sourceChars) continue
    document.operations.add(hash)
    wanted.push(operation)
  }
  for (const operation of wanted) entries.push({ array: 'spec', bytes: packOperations([operation]) })
  for (const bytes of packAll(buffer.specs, job, options.limits)) entries.push({ array: 'spec', bytes })
  for (const [epoch, all] of buffer.outcomes) {
    for (const outcomes of cut(all, estimateOutcome, options.limits)) {
      entries.push({ array: 'done', bytes: packOutcomes(epoch, outcomes, job) })
    }
  }
  return entries
}

/** Cuts rows into batches that stay within the limits; a row that is larger alone goes alone. */
function cut<T>(rows: readonly T[], estimate: (row: T) => number, limits: ReplicaLimits): readonly T[][] {
  const batches: T[][] = []
  let batch: T[] = []
  let bytes = 0
  for (const row of rows) {
    const size = estimate(row)
    if (batch.length > 0 && (bytes + size > limits.batchBytes || batch.length >= limits.batchRows)) {
      batches.push(batch)
      batch = []
      bytes = 0
    }
    batch.push(row)
    bytes += size
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

/** Specifications in batches, and each range by itself. */
function packAll(
  all: readonly (TaskSpec | RangeSpec)[],
  job: JobId,
  limits: ReplicaLimits,
): readonly Uint8Array[] {
  const packed: Uint8Array[] = []
  let singles: TaskSpec[] = []
  const packSingles = (): void => {
    for (const specs of cut(singles, estimateSpec, limits)) packed.push(packSpecs(specs, job))
    singles = []
  }
  for (const one of all) {
    if ('items' in one) {
      packSingles()
      for (const range of cutRange(one, limits.batchBytes)) packed.push(packRange(range))
    } else singles.push(one)
  }
  packSingles()
  return packed
}
