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
import {
  asBoolean,
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
 * The packed batches inside documents. Rows are bare lists, and what rows share (operation, options,
 * processor) stands once per batch: an empty task takes some 20 bytes for specification and outcome.
 */
const kindSpecs = 1
const kindOperations = 2
const rowsMax = 65_536
const empty = new Uint8Array(0)

/** Packs specifications; arguments that cannot be packed go empty, so that numbers keep no gaps. */
export function packSpecs(specs: readonly TaskSpec[], job: JobId): Uint8Array {
  const operations = table<OperationHash>()
  const options = table<TaskOptionsRecord>()
  const rows = specs.map((spec) => {
    const args = packOrNull(spec.args) ?? empty
    const row: unknown[] = [spec.no, operations.indexOf(spec.operation), options.indexOf(spec.options), args]
    const { needs, chunks, parent } = spec
    const hasNeeds = needs.length > 0 || chunks !== undefined
    if (hasNeeds || parent !== null)
      row.push(hasNeeds ? [...writeNeeds(needs, job), ...writeChunkNeeds(chunks)] : 0)
    if (parent !== null) row.push([parent.no, parent.attempt, parent.seq])
    return row
  })
  return packKept([kindSpecs, operations.values, options.values.map(writeOptions), rows])
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
  const [, hashes, choices, rows] = asTuple(batch, 4, 'a batch of specifications')
  const operations = asList(
    hashes,
    rowsMax,
    'operations',
    (hash) => asId(hash, 'an operation') as OperationHash,
  )
  const options = asList(choices, rowsMax, 'task options', readOptions)
  const readSpec = (value: unknown): TaskSpec => {
    const row = asRow(value, 4, 6, 'a specification')
    return {
      no: readNo(row[0]),
      operation: pick(operations, row[1]),
      args: readPayload(row[3]),
      ...(row[4] === undefined || row[4] === 0 ? withoutNeeds : readAllNeeds(row[4], job)),
      options: pick(options, row[2]),
      parent: row[5] === undefined ? null : readParent(row[5]),
    }
  }
  return { type: 'specs', specs: asList(rows, rowsMax, 'specifications', readSpec) }
}

const withoutNeeds = Object.freeze({ needs: noNeeds })

function readAllNeeds(value: unknown, job: JobId): Pick<TaskSpec, 'needs' | 'chunks'> {
  return { needs: readNeeds(value, job), ...readChunkNeeds(value) }
}

/** Packs outcomes of one epoch; a value that cannot be packed becomes a failure that says so. */
export function packOutcomes(epoch: number, outcomes: readonly OutcomeRecord[], job: JobId): Uint8Array {
  const processors = table<ProcessorId>()
  const rows = outcomes.map(({ no, outcome }) => {
    if (outcome.status !== 'done') return [no, writeOutcome(outcome)]
    const value = packOrNull(outcome.value)
    if (value === null) return [no, writeOutcome(notStored(job, no))]
    return outcome.processor === null ? [no, value] : [no, value, processors.indexOf(outcome.processor)]
  })
  return packKept([epoch, processors.values, rows])
}

/**
 * @throws ShoalError as {@link unpackSpecBatch}
 */
export function unpackOutcomes(bytes: Uint8Array): {
  readonly epoch: number
  readonly outcomes: readonly OutcomeRecord[]
} {
  const [epoch, ids, rows] = asTuple(unpackBody(bytes), 3, 'a batch of outcomes')
  const processors = asList(ids, rowsMax, 'processors', (id) => asProcessorId(id, 'a processor'))
  const read = (value: unknown): OutcomeRecord => {
    const row = asRow(value, 2, 3, 'an outcome')
    const no = readNo(row[0])
    if (!(row[1] instanceof Uint8Array)) return { no, outcome: readOutcome(row[1]) }
    const processor = row[2] === undefined ? null : pick(processors, row[2])
    return { no, outcome: { status: 'done', value: readPayload(row[1]), processor } }
  }
  return { epoch: asUint(epoch, 'an epoch'), outcomes: asList(rows, rowsMax, 'outcomes', read) }
}

/** Bytes that a row is expected to take: batches are cut by it. */
export function estimateSpec(spec: TaskSpec): number {
  return 16 + (packOrNull(spec.args)?.length ?? 0) + spec.needs.length * 8
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

function asRow(value: unknown, min: number, max: number, where: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length < min || value.length > max) {
    throw schemaError(where, `a list of ${min} to ${max}`, value)
  }
  return value
}
