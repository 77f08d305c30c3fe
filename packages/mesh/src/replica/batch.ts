import {
  columnMax,
  errorRecord,
  type JobId,
  nestedBase,
  noNeeds,
  type OperationHash,
  type OperationRecord,
  type Outcome,
  type OutcomeRecord,
  PackedColumn,
  type ParentRef,
  type Payload,
  type PeerProfile,
  type ProcessorId,
  type RangeSpec,
  ShoalError,
  type TaskOptionsRecord,
  type TaskSpec,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { packBody, unpackBody } from '../wire/body.ts'
import { readChunkNeeds, writeChunkNeeds } from '../wire/chunk-messages.ts'
import { readRows, writeRows } from '../wire/rows.ts'
import {
  asBoolean,
  asBytes,
  asId,
  asList,
  asNumber,
  asOperationHash,
  asProcessorId,
  asText,
  asTuple,
  asUint,
  fitText,
  schemaError,
} from '../wire/validate.ts'
import {
  readNeeds,
  readNo,
  readOptions,
  readOutcome,
  readPayload,
  readValues,
  writeNeeds,
  writeOptions,
  writeOutcome,
} from '../wire/values.ts'

/**
 * The packed batches inside documents. What rows share (operation, options, processor) stands once per batch,
 * and what few of them have in a list beside them: an empty task takes some 10 bytes for specification and
 * outcome.
 */
const kindSpecs = 1
const kindOperations = 2
const kindRange = 3
const rowsMax = 65_536
const empty = new Uint8Array(0)

/** Packs specifications; arguments that cannot be packed go empty, so that numbers keep no gaps. */
export function packSpecs(specs: readonly TaskSpec[], job: JobId): Uint8Array {
  const operations = table<OperationHash>()
  const options = table<TaskOptionsRecord>()
  const extras: unknown[] = []
  const rows = writeRows()
  let expected = 0
  for (const spec of specs) {
    const extra = writeExtra(spec, job)
    rows.near(spec.no, expected)
    rows.uint(operations.indexOf(spec.operation) * 2 + (extra === null ? 0 : 1))
    rows.uint(options.indexOf(spec.options))
    rows.bytes(packOrNull(spec.args) ?? empty)
    if (extra !== null) extras.push(extra)
    expected = spec.no + 1
  }
  return packKept([kindSpecs, operations.values, options.values.map(writeOptions), rows.take(), extras])
}

/** `null`: the task has neither needs nor a parent. */
function writeExtra({ needs, chunks, parent }: TaskSpec, job: JobId): readonly unknown[] | null {
  if (needs.length === 0 && chunks === undefined && parent === null) return null
  const all = [...writeNeeds(needs, job), ...writeChunkNeeds(chunks)]
  return [all, parent === null ? null : [parent.no, parent.attempt, parent.seq]]
}

export function packOperations(operations: readonly OperationRecord[]): Uint8Array {
  const rows = operations.map((o) => [o.hash, fitText(o.name), o.source, o.exportName])
  return packKept([kindOperations, rows])
}

/** Packs a range: one entry, however many tasks it has. */
export function packRange({ first, operation, options, items }: RangeSpec): Uint8Array {
  return packKept([kindRange, first, operation, writeOptions(options), items.pack()])
}

/** Cuts a range so that each piece stays within the limits. */
export function cutRange(range: RangeSpec, bytesMax: number): readonly RangeSpec[] {
  const { first, items } = range
  const isWhole = items.count <= columnMax && items.sizeBytes <= bytesMax
  if (isWhole || items.count === 1) return [range]
  const half = Math.ceil(items.count / 2)
  return [
    ...cutRange({ ...range, items: items.slice(0, half) }, bytesMax),
    ...cutRange({ ...range, first: first + half, items: items.slice(half, items.count) }, bytesMax),
  ]
}

/** What one entry of a job's `spec` array holds. */
export type SpecBatch =
  | { readonly type: 'range'; readonly range: RangeSpec }
  | { readonly type: 'specs'; readonly specs: readonly TaskSpec[] }
  | { readonly type: 'operations'; readonly operations: readonly OperationRecord[] }

/**
 * @throws ShoalError `E_DECODE`, `E_DEPTH` or `E_SCHEMA` when the batch is not what a writer makes
 */
export function unpackSpecBatch(bytes: Uint8Array, job: JobId): SpecBatch {
  const batch = unpackBody(bytes)
  const kind: unknown = Array.isArray(batch) ? batch[0] : batch
  if (kind === kindOperations) {
    const [, rows] = asTuple(batch, 2, 'a batch of operations')
    return { type: 'operations', operations: asList(rows, rowsMax, 'operations', readOperation) }
  }
  if (kind === kindRange) return { type: 'range', range: readRange(batch) }
  if (kind !== kindSpecs) throw schemaError('the kind of a batch', '1 to 3', kind)
  const [, hashes, choices, bytesOfRows, extraList] = asTuple(batch, 5, 'a batch of specifications')
  const operations = asList(
    hashes,
    rowsMax,
    'operations',
    (hash) => asId(hash, 'an operation') as OperationHash,
  )
  const options = asList(choices, rowsMax, 'task options', readOptions)
  const extras = asList(extraList, rowsMax, 'extras', (extra) => readExtra(extra, job))
  const specs: TaskSpec[] = []
  let extrasRead = 0
  let expected = 0
  for (const rows = readRows(asBytes(bytesOfRows, 'specifications')); !rows.isAtEnd; ) {
    checkCount(specs, 'specifications')
    const no = rows.near('a task number', expected)
    const code = rows.uint('the operation of a task')
    const operation = pick(operations, Math.floor(code / 2))
    const choice = pick(options, rows.uint('the options of a task'))
    const args = readPayload(rows.bytes('arguments'))
    const { needs, parent, ...chunks } = code % 2 === 0 ? withoutExtra : pick(extras, extrasRead++)
    specs.push({ no, operation, args, needs, options: choice, parent, ...chunks })
    expected = no + 1
  }
  if (extrasRead !== extras.length) throw schemaError('extras', `a list of ${extrasRead}`, extraList)
  return { type: 'specs', specs }
}

function readRange(batch: unknown): RangeSpec {
  const [, first, operation, options, items] = asTuple(batch, 5, 'a range')
  const column = readValues(items)
  if (column.count < 1) throw schemaError('a range', 'of one task at least', column.count)
  return {
    first: asUint(first, 'a task number', nestedBase - column.count),
    operation: asId(operation, 'an operation') as OperationHash,
    options: readOptions(options),
    items: column,
  }
}

type SpecExtra = Pick<TaskSpec, 'needs' | 'chunks' | 'parent'>

const withoutExtra: SpecExtra = Object.freeze({ needs: noNeeds, parent: null })

function readExtra(value: unknown, job: JobId): SpecExtra {
  const [needs, parent] = asTuple(value, 2, 'the extra of a specification')
  const read = { needs: readNeeds(needs, job), ...readChunkNeeds(needs) }
  return { ...read, parent: parent === null ? null : readParent(parent) }
}

/** Packs outcomes of one epoch; a value that cannot be packed becomes a failure that says so. */
export function packOutcomes(epoch: number, outcomes: readonly OutcomeRecord[], job: JobId): Uint8Array {
  const processors = table<ProcessorId>()
  const others: unknown[] = []
  const rows = writeRows()
  let expected = 0
  for (const { no, count = 1, outcome } of outcomes) {
    const value = outcome.status === 'done' ? packOrNull(outcome.value) : null
    const isSlice = count === 1 ? 0 : 1
    rows.near(no, expected)
    expected = no + count
    if (outcome.status !== 'done' || value === null) {
      rows.uint(otherEnd * 2 + isSlice)
      others.push(writeOutcome(outcome.status === 'done' ? notStored(job, no) : outcome))
      if (count > 1) rows.uint(count)
      continue
    }
    const { processor } = outcome
    rows.uint((processor === null ? doneNowhere : doneFrom + processors.indexOf(processor)) * 2 + isSlice)
    rows.bytes(value)
  }
  return packKept([epoch, processors.values, rows.take(), others])
}

/** How the outcome of a row is told, and in the lowest bit whether it is that of several tasks in a row: by the list beside the rows, or as done, from `doneFrom` on with its processor. */
const otherEnd = 0
const doneNowhere = 1
const doneFrom = 2

/**
 * @throws ShoalError as {@link unpackSpecBatch}
 */
export function unpackOutcomes(bytes: Uint8Array): {
  readonly epoch: number
  readonly outcomes: readonly OutcomeRecord[]
} {
  const [epoch, ids, bytesOfRows, otherList] = asTuple(unpackBody(bytes), 4, 'a batch of outcomes')
  const processors = asList(ids, rowsMax, 'processors', (id) => asProcessorId(id, 'a processor'))
  const others = asList(otherList, rowsMax, 'outcomes', readOutcome)
  const outcomes: OutcomeRecord[] = []
  let othersRead = 0
  let expected = 0
  for (const rows = readRows(asBytes(bytesOfRows, 'outcomes')); !rows.isAtEnd; ) {
    checkCount(outcomes, 'outcomes')
    const no = rows.near('a task number', expected)
    const told = rows.uint('how a task ended')
    const code = Math.floor(told / 2)
    const isSlice = told % 2 === 1
    if (code === otherEnd) {
      const outcome = pick(others, othersRead++)
      const count = isSlice ? rows.uint('the tasks of an outcome', nestedBase) : 1
      outcomes.push(recordOf(no, count, outcome))
      expected = no + count
      continue
    }
    const processor = code === doneNowhere ? null : pick(processors, code - doneFrom)
    const bytes = rows.bytes('a value')
    const values = isSlice ? readValues(bytes) : null
    const value = values ?? readPayload(bytes)
    outcomes.push(recordOf(no, values?.count ?? 1, { status: 'done', value, processor }))
    expected = no + (values?.count ?? 1)
  }
  if (othersRead !== others.length) throw schemaError('outcomes', `a list of ${othersRead}`, otherList)
  return { epoch: asUint(epoch, 'an epoch'), outcomes }
}

function recordOf(no: number, count: number, outcome: Outcome): OutcomeRecord {
  if (count === 1 && outcome.status === 'done' && outcome.value instanceof PackedColumn)
    return { no, outcome: { ...outcome, value: outcome.value.at(0) } }
  if (count < 1) throw schemaError('the tasks of an outcome', 'one at least', count)
  return count === 1 ? { no, outcome } : { no, count, outcome }
}

function checkCount(list: readonly unknown[], where: string): void {
  if (list.length === rowsMax) throw schemaError(where, `at most ${rowsMax}`, list.length)
}

/** Bytes that a row is expected to take: batches are cut by it. */
export function estimateSpec(spec: TaskSpec): number {
  return 8 + (packOrNull(spec.args)?.length ?? 0) + spec.needs.length * 8
}

/** As {@link estimateSpec}. */
export function estimateOutcome({ outcome }: OutcomeRecord): number {
  if (outcome.status === 'done') return 8 + (packOrNull(outcome.value)?.length ?? 256)
  return outcome.status === 'cancelled' ? 8 + outcome.reason.length : 2_048
}

export function packProfile(profile: PeerProfile): Uint8Array {
  const rows = profile.processors.map((p) => [p.id, p.kind, p.isDefault, p.score])
  return packKept([fitText(profile.name), rows])
}

/**
 * @throws ShoalError as {@link unpackSpecBatch}
 */
export function unpackProfile(bytes: Uint8Array): PeerProfile {
  const [name, rows] = asTuple(unpackBody(bytes), 2, 'a profile')
  const read = (value: unknown): PeerProfile['processors'][number] => {
    const [id, kind, isDefault, score] = asTuple(value, 4, 'a processor')
    return {
      id: asProcessorId(id, 'the id of a processor'),
      kind: asId(kind, 'the kind of a processor'),
      isDefault: asBoolean(isDefault, 'whether a processor is on by default'),
      score: asNumber(score, 'the score of a processor', 0, Number.MAX_VALUE),
    }
  }
  return { name: asText(name, 'the name of a peer'), processors: asList(rows, 4_096, 'processors', read) }
}

/** Packs into bytes of their own: the packer hands out pieces of one big buffer, and documents keep theirs. */
export function packKept(value: unknown): Uint8Array {
  return new Uint8Array(packBody(value))
}

function readParent(value: unknown): ParentRef {
  const [no, attempt, seq] = asTuple(value, 3, 'the parent of a task')
  return { no: readNo(no), attempt: asUint(attempt, 'an attempt'), seq: asUint(seq, 'a sequence number') }
}

function readOperation(value: unknown): OperationRecord {
  const [hash, name, source, exportName] = asTuple(value, 4, 'an operation')
  return {
    hash: asOperationHash(hash, 'the hash of an operation'),
    name: asText(name, 'the name of an operation'),
    source: asText(source, 'the source of an operation', limits.sourceCharsMax),
    exportName: asId(exportName, 'the export name of an operation'),
  }
}

function notStored(job: JobId, no: number): OutcomeRecord['outcome'] {
  const reason = `Cannot store the value of task "${job}/${no}" as it cannot be packed`
  const error = errorRecord('E_NOT_SERIALIZABLE', reason)
  return { status: 'failed', error, origin: { job, no }, attempts: 1, peer: null }
}

function packOrNull(payload: Payload): Uint8Array | null {
  try {
    return payload.pack()
  } catch (error) {
    if (error instanceof ShoalError) return null
    throw error
  }
}

/** Numbers values by identity, in order of appearance. */
function table<T>(): { readonly values: readonly T[]; indexOf(value: T): number } {
  const values: T[] = []
  const indices = new Map<T, number>()
  return {
    values,
    indexOf(value) {
      const known = indices.get(value)
      if (known !== undefined) return known
      indices.set(value, values.length)
      return values.push(value) - 1
    },
  }
}

function pick<T>(list: readonly T[], index: unknown): T {
  const at = asUint(index, 'an index', list.length - 1)
  return list[at] as T
}
