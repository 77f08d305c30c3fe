import type {
  Assignment,
  AssignmentInput,
  AttemptRef,
  AttemptResult,
  OperationHash,
  ProcessorId,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { readChunkId } from './chunk-messages.ts'
import { type RowReader, readRows, writeRows } from './rows.ts'
import { asBytes, asList, asOperationHash, asProcessorId, asTuple, asUint, schemaError } from './validate.ts'
import { asFlat, readAttemptOutcome, readDuration, readPayload, writeAttemptOutcome } from './values.ts'

/*
 * Attempts on the wire: assignments, their results, references to them. Every task passes here twice, so each
 * is a row of a few bytes; what few of them have goes into a list beside the rows, in their order.
 */

/** Largest number of rows in one message: above what a sender puts in one, below any harm. */
const rowsMax = limits.batchEntriesMax * 4

const nothingBefore: AttemptRef = { no: -1, attempt: -1 }

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
    rows.uint(numberOf(processors, task.processor) * 2 + (extra === null ? 0 : 1))
    rows.uint(numberOf(operations, task.operation))
    rows.bytes(task.args.pack())
    if (extra !== null) extras.push(extra)
    last = task
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
  for (const rows = rowsOf(bytes, 'tasks'); !rows.isAtEnd; last = tasks[tasks.length - 1] as Assignment) {
    const { no, attempt } = readRef(rows, last)
    const place = rows.uint('the processor of a task')
    const processor = pick(processors, Math.floor(place / 2), 'the processor of a task')
    const operation = pick(operations, rows.uint('the operation of a task'), 'the operation of a task')
    const args = readPayload(rows.bytes('arguments'))
    const extra = place % 2 === 0 ? plainTask : pick(extras, extrasRead++, 'the extra of a task')
    checkCount(tasks, 'tasks')
    const { inputs, timeoutMs, remakes } = extra
    const task = { no, attempt, processor, operation, args, inputs, timeoutMs }
    tasks.push(remakes === undefined ? task : { ...task, remakes })
  }
  if (extrasRead !== extras.length) throw schemaError('extras', `a list of ${extrasRead}`, extraList)
  return tasks
}

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
    const { outcome } = result
    const isDone = outcome.status === 'done'
    rows.near(result.no, last.no + 1)
    rows.near(result.attempt, last.attempt + 1)
    rows.uint(microsecondsOf(result.ranMs) * 2 + (isDone ? 0 : 1))
    if (isDone) rows.bytes(outcome.value.pack())
    else others.push(writeAttemptOutcome(outcome))
    last = result
  }
  return [rows.take(), others]
}

/** @throws ShoalError `E_SCHEMA` */
export function readResults(value: unknown): readonly AttemptResult[] {
  const [bytes, otherList] = asTuple(value, 2, 'results')
  const others = asList(otherList, rowsMax, 'results', readAttemptOutcome)
  const results: AttemptResult[] = []
  let othersRead = 0
  let last = nothingBefore
  for (
    const rows = rowsOf(bytes, 'results');
    !rows.isAtEnd;
    last = results[results.length - 1] as AttemptResult
  ) {
    const { no, attempt } = readRef(rows, last)
    const time = rows.uint('the run time of a result')
    const isDone = time % 2 === 0
    const outcome = isDone
      ? ({ status: 'done', value: readPayload(rows.bytes('a value')) } as const)
      : pick(others, othersRead++, 'how an attempt ended')
    checkCount(results, 'results')
    results.push({ no, attempt, outcome, ranMs: Math.floor(time / 2) / 1000 })
  }
  if (othersRead !== others.length) throw schemaError('results', `a list of ${othersRead}`, otherList)
  return results
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
