import {
  errorRecord,
  type JobId,
  noNeeds,
  type OperationHash,
  type OperationRecord,
  type OutcomeRecord,
  type ParentRef,
  type Payload,
  type PeerProfile,
  type ProcessorId,
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

/** What one entry of a job's `spec` array holds. */
export type SpecBatch =
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
  if (kind !== kindSpecs) throw schemaError('the kind of a batch', '1 or 2', kind)
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
  for (const { no, outcome } of outcomes) {
    const value = outcome.status === 'done' ? packOrNull(outcome.value) : null
    rows.near(no, expected)
    expected = no + 1
    if (outcome.status !== 'done' || value === null) {
      rows.uint(otherEnd)
      others.push(writeOutcome(outcome.status === 'done' ? notStored(job, no) : outcome))
      continue
    }
    rows.uint(outcome.processor === null ? doneNowhere : doneFrom + processors.indexOf(outcome.processor))
    rows.bytes(value)
  }
  return packKept([epoch, processors.values, rows.take(), others])
}

/** How the outcome of a row is told: by the list beside the rows, or as done, from `doneFrom` on with its processor. */
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
    expected = no + 1
    const code = rows.uint('how a task ended')
    if (code === otherEnd) {
      outcomes.push({ no, outcome: pick(others, othersRead++) })
      continue
    }
    const processor = code === doneNowhere ? null : pick(processors, code - doneFrom)
    outcomes.push({ no, outcome: { status: 'done', value: readPayload(rows.bytes('a value')), processor } })
  }
  if (othersRead !== others.length) throw schemaError('outcomes', `a list of ${othersRead}`, otherList)
  return { epoch: asUint(epoch, 'an epoch'), outcomes }
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
