import {
  type Assignment,
  type AssignmentInput,
  type AttemptRef,
  type AttemptResult,
  columnMax,
  type OperationHash,
  PackedPayload,
  type Payload,
  type ProcessorId,
  type SliceAssignment,
  type SliceItem,
  type SliceOutcome,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { readChunkId } from './chunk-messages.ts'
import { type RowReader, readRows, writeRows } from './rows.ts'
import { asBytes, asList, asOperationHash, asProcessorId, asTuple, asUint, schemaError } from './validate.ts'
import {
  asFlat,
  readAttemptOutcome,
  readDuration,
  readPayload,
  readValues,
  writeAttemptOutcome,
} from './values.ts'

/*
 * Attempts on the wire: assignments, their results, references to them. Every task passes here twice, so each
 * is a row of a few bytes; what few of them have goes into a list beside the rows, in their order. A slice is one
 * row, with a column of arguments or values.
 */

/** Largest number of rows in one message: above what a sender puts in one, below any harm. */
const rowsMax = limits.batchEntriesMax * 4

const nothingBefore: AttemptRef = { no: -1, attempt: -1 }

/** What a row of an assignment carries. */
const forms = { plain: 0, extra: 1, slice: 2 } as const
/** How a row of a result tells the end. */
const ends = { done: 0, other: 1, sliced: 2, apart: 3 } as const

/** Processors, operations, rows, extras. Processors and operations stand once for all tasks. */
export function writeAssignments(tasks: readonly Assignment[]): readonly unknown[] {
  const processors = new Map<ProcessorId, number>()
  const operations = new Map<OperationHash, number>()
  const extras: unknown[] = []
  const rows = writeRows()
  let last = nothingBefore
  for (const task of tasks) {
    const extra = writeExtra(task)
    rows.near(task.no, last.no + 1)
    rows.near(task.attempt, last.attempt + 1)
    const items = 'items' in task ? (task as SliceAssignment).items : null
    const form = items !== null ? forms.slice : extra === null ? forms.plain : forms.extra
    rows.uint(numberOf(processors, task.processor) * 4 + form)
    rows.uint(numberOf(operations, task.operation))
    rows.bytes(items === null ? task.args.pack() : items.pack())
    if (form === forms.extra) extras.push(extra)
    last = items === null ? task : { no: task.no + items.count - 1, attempt: task.attempt }
  }
  return [[...processors.keys()], [...operations.keys()], rows.take(), extras]
}

/** @throws ShoalError `E_SCHEMA` */
export function readAssignments(
  processorList: unknown,
  operationList: unknown,
  bytes: unknown,
  extraList: unknown,
): readonly Assignment[] {
  const processors = asList(processorList, rowsMax, 'processors', (id) => asProcessorId(id, 'a processor'))
  const operations = asList(operationList, rowsMax, 'operations', (id) => asOperationHash(id, 'an operation'))
  const extras = asList(extraList, rowsMax, 'extras', readExtra)
  const tasks: Assignment[] = []
  let extrasRead = 0
  let last = nothingBefore
  for (const rows = rowsOf(bytes, 'tasks'); !rows.isAtEnd; ) {
    last = readRef(rows, last)
    const { no, attempt } = last
    const place = rows.uint('the processor of a task')
    const form = place % 4
    const processor = pick(processors, Math.floor(place / 4), 'the processor of a task')
    const operation = pick(operations, rows.uint('the operation of a task'), 'the operation of a task')
    const given = rows.bytes('arguments')
    checkCount(tasks, 'tasks')
    const { inputs, timeoutMs, remakes } =
      form === forms.extra ? pick(extras, extrasRead++, 'the extra of a task') : plainTask
    const task = { no, attempt, processor, operation, args: noArguments, inputs, timeoutMs }
    if (form === forms.slice) {
      const items = readValues(given)
      if (items.count < 2) throw schemaError('a slice', 'of two tasks at least', items.count)
      const slice: SliceAssignment = { ...task, items }
      tasks.push(slice)
      last = { no: no + items.count - 1, attempt }
      continue
    }
    if (form > forms.slice) throw schemaError('the form of a task', '0 to 2', form)
    const args = readPayload(given)
    tasks.push(remakes === undefined ? { ...task, args } : { ...task, args, remakes })
  }
  if (extrasRead !== extras.length) throw schemaError('extras', `a list of ${extrasRead}`, extraList)
  return tasks
}

const noArguments: Payload = new PackedPayload(new Uint8Array(0))
const noInputs: readonly AssignmentInput[] = Object.freeze([])
type Extra = Pick<Assignment, 'inputs' | 'timeoutMs' | 'remakes'>
const plainTask: Extra = Object.freeze({ inputs: noInputs, timeoutMs: 0 })

/** `null`: the task has nothing but arguments. */
function writeExtra(task: Assignment): readonly unknown[] | null {
  if (task.inputs.length === 0 && task.timeoutMs === 0 && task.remakes === undefined) return null
  const inputs = task.inputs.flatMap((input) => [input.index, input.value.pack()])
  const limitMs = Math.min(task.timeoutMs, limits.durationMsMax)
  return task.remakes === undefined ? [inputs, limitMs] : [inputs, limitMs, task.remakes]
}

function readExtra(value: unknown): Extra {
  const isRemake = Array.isArray(value) && value.length === 3
  const [inputs, timeoutMs, remakes] = asTuple(value, isRemake ? 3 : 2, 'the extra of a task')
  const extra = { inputs: readInputs(inputs), timeoutMs: readDuration(timeoutMs) }
  return isRemake ? { ...extra, remakes: readChunkId(remakes) } : extra
}

function readInputs(value: unknown): readonly AssignmentInput[] {
  const flat = asFlat(value, 2, 'inputs')
  if (flat.length === 0) return noInputs
  const inputs: AssignmentInput[] = []
  for (let at = 0; at < flat.length; at += 2) {
    inputs.push({
      index: asUint(flat[at], 'the index of an input', 65_535),
      value: readPayload(flat[at + 1]),
    })
  }
  return inputs
}

/** Rows, and a list of the endings without a value. */
export function writeResults(results: readonly AttemptResult[]): readonly unknown[] {
  const others: unknown[] = []
  const rows = writeRows()
  let last = nothingBefore
  for (const result of results) {
    const { outcome, count = 1 } = result
    const end = endOf(result)
    rows.near(result.no, last.no + 1)
    rows.near(result.attempt, last.attempt + 1)
    rows.uint(microsecondsOf(result.ranMs) * 4 + end)
    if (end !== ends.done) rows.uint(count)
    if (outcome.status === 'done') rows.bytes(outcome.value.pack())
    else if (outcome.status !== 'sliced') others.push(writeAttemptOutcome(outcome))
    else {
      rows.bytes(outcome.values.pack())
      if (end === ends.apart)
        others.push(outcome.apart.map((item) => [item.index, writeAttemptOutcome(item.outcome)]))
    }
    last = { no: result.no + count - 1, attempt: result.attempt }
  }
  return [rows.take(), others]
}

function endOf({ outcome }: AttemptResult): number {
  if (outcome.status === 'done') return ends.done
  if (outcome.status !== 'sliced') return ends.other
  return outcome.apart.length === 0 ? ends.sliced : ends.apart
}

/** @throws ShoalError `E_SCHEMA` */
export function readResults(value: unknown): readonly AttemptResult[] {
  const [bytes, otherList] = asTuple(value, 2, 'results')
  const others = asList(otherList, rowsMax, 'results', (other) => other)
  const results: AttemptResult[] = []
  let othersRead = 0
  let last = nothingBefore
  for (const rows = rowsOf(bytes, 'results'); !rows.isAtEnd; ) {
    last = readRef(rows, last)
    const { no, attempt } = last
    const time = rows.uint('the run time of a result')
    const end = time % 4
    const ranMs = Math.floor(time / 4) / 1000
    checkCount(results, 'results')
    if (end === ends.done) {
      results.push({
        no,
        attempt,
        outcome: { status: 'done', value: readPayload(rows.bytes('a value')) },
        ranMs,
      })
      continue
    }
    const count = rows.uint('the tasks of a result', columnMax)
    if (count < 1) throw schemaError('the tasks of a result', 'one at least', count)
    const values = end === ends.other ? null : rows.bytes('values')
    const other = end === ends.sliced ? [] : pick(others, othersRead++, 'how an attempt ended')
    const outcome = values === null ? readAttemptOutcome(other) : readSliced(values, other, count)
    results.push(count === 1 ? { no, attempt, outcome, ranMs } : { no, attempt, count, outcome, ranMs })
    last = { no: no + count - 1, attempt }
  }
  if (othersRead !== others.length) throw schemaError('results', `a list of ${othersRead}`, otherList)
  return results
}

function readSliced(bytes: Uint8Array, apartList: unknown, count: number): SliceOutcome {
  const values = readValues(bytes)
  if (values.count < 1 || values.count > count)
    throw schemaError('the values of a slice', `1 to ${count}`, values.count)
  const apart = asList(apartList, values.count, 'what is told apart', (item): SliceItem => {
    const [index, end] = asTuple(item, 2, 'what is told apart')
    const outcome = readAttemptOutcome(end)
    if (outcome.status !== 'done' && outcome.status !== 'failed')
      throw schemaError('what is told apart', 'done or failed', outcome.status)
    return { index: asUint(index, 'an index', values.count - 1), outcome }
  })
  return { status: 'sliced', values, apart }
}

/** Estimates are made of it: a microsecond more or less means nothing. */
function microsecondsOf(ms: number): number {
  return Math.max(0, Math.min(Math.round(ms * 1000) || 0, 2 ** 51))
}

export function writeRefs(refs: readonly AttemptRef[]): Uint8Array {
  const rows = writeRows()
  let last = nothingBefore
  for (const ref of refs) {
    rows.near(ref.no, last.no + 1)
    rows.near(ref.attempt, last.attempt + 1)
    last = ref
  }
  return rows.take()
}

/** @throws ShoalError `E_SCHEMA` */
export function readRefs(value: unknown): readonly AttemptRef[] {
  const refs: AttemptRef[] = []
  let last = nothingBefore
  for (const rows = rowsOf(value, 'attempts'); !rows.isAtEnd; ) {
    last = readRef(rows, last)
    checkCount(refs, 'attempts')
    refs.push(last)
  }
  return refs
}

function readRef(rows: RowReader, last: AttemptRef): AttemptRef {
  const no = rows.near('a task number', last.no + 1)
  return { no, attempt: rows.near('an attempt', last.attempt + 1) }
}

function rowsOf(value: unknown, where: string): RowReader {
  return readRows(asBytes(value, where))
}

function checkCount(list: readonly unknown[], where: string): void {
  if (list.length === rowsMax) throw schemaError(where, `at most ${rowsMax}`, list.length)
}

function numberOf<T>(numbers: Map<T, number>, value: T): number {
  const known = numbers.get(value)
  if (known !== undefined) return known
  numbers.set(value, numbers.size)
  return numbers.size - 1
}

function pick<T>(table: readonly T[], index: number, where: string): T {
  const value = table[index]
  if (value === undefined) throw schemaError(where, `an index below ${table.length}`, index)
  return value
}
