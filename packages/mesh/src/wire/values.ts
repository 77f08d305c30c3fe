import {
  type AttemptOutcome,
  defaultTaskOptions,
  type ErrorRecord,
  isChunkReference,
  type JobId,
  type Need,
  noNeeds,
  type Outcome,
  type PackedColumn,
  type Payload,
  type ProcessorKind,
  readPayload as payloadFrom,
  readColumn,
  type Scope,
  type TaskOptionsRecord,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import {
  asBytes,
  asId,
  asJobId,
  asList,
  asNumber,
  asPeerId,
  asProcessorId,
  asText,
  asTuple,
  asUint,
  fitText,
  schemaError,
} from './validate.ts'

/** Largest task number: children are numbered per claim, far apart. */
export const taskNoMax: number = Number.MAX_SAFE_INTEGER
const priorityMax = 1e9

export function readNo(value: unknown): number {
  return asUint(value, 'a task number', taskNoMax)
}

export function readPayload(value: unknown): Payload {
  return payloadFrom(asBytes(value, 'a payload'))
}

/**
 * A column of arguments or values. What is a chunk is told apart.
 * @throws ShoalError `E_SCHEMA`
 */
export function readValues(value: unknown): PackedColumn {
  const column = readColumn(asBytes(value, 'a column'))
  if (column.parts?.some(isChunkReference) === true)
    throw schemaError('a column', 'without chunks', 'a chunk')
  return column
}

/** How an attempt ended: bytes = done, 0 = lost, 1 = refused, `[2, reason]` = cancelled, `[3, error]` = failed, `[4, error]` = unfed. */
export function writeAttemptOutcome(outcome: AttemptOutcome): unknown {
  switch (outcome.status) {
    case 'done':
      return outcome.value.pack()
    case 'lost':
      return 0
    case 'refused':
      return 1
    case 'cancelled':
      return [2, fitText(outcome.reason)]
    case 'failed':
      return [3, writeError(outcome.error, 0)]
    case 'unfed':
      return [4, writeError(outcome.error, 0)]
  }
}

export function readAttemptOutcome(value: unknown): AttemptOutcome {
  if (value instanceof Uint8Array) return { status: 'done', value: readPayload(value) }
  if (value === 0) return { status: 'lost' }
  if (value === 1) return { status: 'refused' }
  const [kind, content] = asTuple(value, 2, 'how an attempt ended')
  if (kind === 2) return { status: 'cancelled', reason: asText(content, 'a reason') }
  if (kind === 3) return { status: 'failed', error: readError(content, 0) }
  if (kind === 4) return { status: 'unfed', error: readError(content, 0) }
  throw schemaError('how an attempt ended', '0 to 4', kind)
}

/** How a task ended: `[0, bytes, processor]` = done, `[2, reason]` = cancelled, `[3, ...]` = failed. */
export function writeOutcome(outcome: Outcome): unknown {
  switch (outcome.status) {
    case 'done':
      return [0, outcome.value.pack(), outcome.processor]
    case 'cancelled':
      return [2, fitText(outcome.reason)]
    case 'failed': {
      const { origin, attempts, peer } = outcome
      return [3, writeError(outcome.error, 0), origin.job, origin.no, attempts, peer]
    }
  }
}

export function readOutcome(value: unknown): Outcome {
  const kind: unknown = Array.isArray(value) ? value[0] : value
  if (kind === 0) {
    const [, bytes, processor] = asTuple(value, 3, 'a done outcome')
    return {
      status: 'done',
      value: readPayload(bytes),
      processor: processor === null ? null : asProcessorId(processor, 'the processor of an outcome'),
    }
  }
  if (kind === 2) {
    const [, reason] = asTuple(value, 2, 'a cancelled outcome')
    return { status: 'cancelled', reason: asText(reason, 'a reason') }
  }
  if (kind !== 3) throw schemaError('the kind of an outcome', '0, 2 or 3', kind)
  const [, error, job, no, attempts, peer] = asTuple(value, 6, 'a failed outcome')
  return {
    status: 'failed',
    error: readError(error, 0),
    origin: { job: asJobId(job, 'the job of an origin'), no: readNo(no) },
    attempts: asUint(attempts, 'a number of attempts'),
    peer: peer === null ? null : asPeerId(peer, 'the peer of an origin'),
  }
}

export function writeError(error: ErrorRecord, depth: number): unknown {
  const cause = error.cause !== null && depth < limits.causesMax ? writeError(error.cause, depth + 1) : null
  return [
    fitText(error.name),
    fitText(error.message, limits.errorCharsMax),
    error.code === null ? null : fitText(error.code, limits.idCharsMax),
    error.stack === null ? null : fitText(error.stack, limits.errorCharsMax),
    cause,
    error.fields,
  ]
}

export function readError(value: unknown, depth: number): ErrorRecord {
  if (depth > limits.causesMax)
    throw schemaError('an error', `nested ${limits.causesMax} deep at most`, depth)
  const [name, message, code, stack, cause, fields] = asTuple(value, 6, 'an error')
  return {
    name: asText(name, 'the name of an error'),
    message: asText(message, 'the message of an error', limits.errorCharsMax),
    code: code === null ? null : asText(code, 'the code of an error', limits.idCharsMax),
    stack: stack === null ? null : asText(stack, 'the stack of an error', limits.errorCharsMax),
    cause: cause === null ? null : readError(cause, depth + 1),
    fields: fields === null ? null : asBytes(fields, 'the fields of an error'),
  }
}

/** Flat: index, job, number, ... The job is `null` where it is the message's own. */
export function writeNeeds(needs: readonly Need[], job: JobId): readonly unknown[] {
  return needs.flatMap((need) => [need.index, need.task.job === job ? null : need.task.job, need.task.no])
}

export function readNeeds(value: unknown, job: JobId): readonly Need[] {
  const flat = asFlat(value, 3, 'needs')
  if (flat.length === 0) return noNeeds
  const needs: Need[] = []
  for (let at = 0; at < flat.length; at += 3) {
    const other = flat[at + 1]
    // A chunk: read apart.
    if (other instanceof Uint8Array) continue
    needs.push({
      index: asNumber(flat[at], 'the index of a need', -1, 65_535),
      task: { job: other === null ? job : asJobId(other, 'the job of a need'), no: readNo(flat[at + 2]) },
    })
  }
  return needs
}

/** `null` = nothing asked for. */
export function writeOptions(options: TaskOptionsRecord): unknown {
  if (options === defaultTaskOptions) return null
  return [
    options.name === null ? null : fitText(options.name),
    writeScope(options.scope),
    Math.max(-priorityMax, Math.min(priorityMax, options.priority)),
    options.retryMax,
    Math.min(options.retryBackoffMs, limits.durationMsMax),
    Math.min(options.timeoutMs, limits.durationMsMax),
  ]
}

export function readOptions(value: unknown): TaskOptionsRecord {
  if (value === null) return defaultTaskOptions
  const [name, scope, priority, retryMax, retryBackoffMs, timeoutMs] = asTuple(value, 6, 'task options')
  return {
    name: name === null ? null : asText(name, 'the name of a task'),
    scope: readScope(scope),
    priority: asNumber(priority, 'a priority', -priorityMax, priorityMax),
    retryMax: asUint(retryMax, 'a number of retries'),
    retryBackoffMs: readDuration(retryBackoffMs),
    timeoutMs: readDuration(timeoutMs),
  }
}

export function readDuration(value: unknown): number {
  return asNumber(value, 'a duration in milliseconds', 0, limits.durationMsMax)
}

function writeScope(scope: Scope): unknown {
  switch (scope.type) {
    case 'default':
      return 0
    case 'any':
      return 1
    case 'peer':
      return [2, scope.peer]
    case 'kind':
      return [3, scope.kind]
    case 'processor':
      return [4, scope.processor]
    case 'union':
      return [5, scope.scopes.map(writeScope)]
    case 'intersect':
      return [6, scope.scopes.map(writeScope)]
    case 'except':
      return [7, writeScope(scope.scope)]
  }
}

function readScope(value: unknown): Scope {
  if (value === 0) return defaultTaskOptions.scope
  if (value === 1) return { type: 'any' }
  const [kind, content] = asTuple(value, 2, 'a scope')
  switch (kind) {
    case 2:
      return { type: 'peer', peer: asPeerId(content, 'the peer of a scope') }
    case 3:
      return { type: 'kind', kind: asId(content, 'the kind of a scope') as ProcessorKind }
    case 4:
      return { type: 'processor', processor: asProcessorId(content, 'the processor of a scope') }
    case 5:
      return { type: 'union', scopes: asList(content, 256, 'the scopes of a union', readScope) }
    case 6:
      return { type: 'intersect', scopes: asList(content, 256, 'the scopes of an intersection', readScope) }
    case 7:
      return { type: 'except', scope: readScope(content) }
    default:
      throw schemaError('the kind of a scope', '2 to 7', kind)
  }
}

/** A list whose length is a multiple of `width`: records without a list each. */
export function asFlat(
  value: unknown,
  width: number,
  where: string,
  groupsMax: number = limits.batchEntriesMax * 4,
): readonly unknown[] {
  if (!Array.isArray(value) || value.length % width !== 0 || value.length > groupsMax * width) {
    throw schemaError(where, `a list of groups of ${width}`, value)
  }
  return value
}
