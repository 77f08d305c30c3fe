import { ShoalError } from '@shoal/scheduler'
import { CancelledError, SchedulingError, ServiceRestartedError, TaskFailedError } from '../errors.ts'
import { errorMessageCharsMax, errorStackCharsMax } from './limits.ts'

/** An error taken apart. `fields` holds its own enumerable properties besides those named here. */
export interface ErrorParts {
  readonly name: string
  readonly message: string
  readonly code: string | null
  readonly stack: string | null
  readonly hasCause: boolean
  readonly cause: unknown
  readonly fields: readonly (readonly [key: string, value: unknown])[]
}

/** `name` of the error that stands for a thrown value that was no error; `value` holds it. */
export const thrownValueName = 'ThrownValue'

const natives = new Map<string, ErrorConstructor>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [
    type.name,
    type as ErrorConstructor,
  ]),
)
const prototypes = new Map<string, object>([
  ['ShoalError', ShoalError.prototype],
  ['TaskFailedError', TaskFailedError.prototype],
  ['CancelledError', CancelledError.prototype],
  ['SchedulingError', SchedulingError.prototype],
  ['ServiceRestartedError', ServiceRestartedError.prototype],
])
const ownParts = new Set(['name', 'message', 'stack', 'cause', 'code'])

/** Says whether `value` is an error of this or another realm. */
export function isError(value: unknown): value is Error {
  if (typeof value !== 'object' || value === null) return false
  try {
    return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]'
  } catch {
    return false
  }
}

/** Takes an error apart. Never throws: what its getters refuse is left out. */
export function errorParts(error: Error): ErrorParts {
  const code = read(error, 'code')
  const hasCause = attempt(() => 'cause' in error) ?? false
  const fields: (readonly [string, unknown])[] = []
  for (const key of attempt(() => Object.keys(error)) ?? []) {
    if (ownParts.has(key) && !(key === 'code' && typeof code !== 'string')) continue
    const value = read(error, key)
    if (value !== undefined) fields.push([key, value])
  }
  if (error instanceof AggregateError) fields.push(['errors', read(error, 'errors')])
  return {
    name: text(read(error, 'name'), 256) ?? 'Error',
    message: text(read(error, 'message'), errorMessageCharsMax) ?? 'the error gave no message',
    code: text(code, 256),
    stack: text(read(error, 'stack'), errorStackCharsMax),
    hasCause,
    cause: hasCause ? read(error, 'cause') : undefined,
    fields,
  }
}

/** Stands for a thrown value that is no error. */
export function thrownValue(value: unknown): ErrorParts {
  const shown = attempt(() => (typeof value === 'object' ? JSON.stringify(value) : String(value)))
  const message = text(shown, errorMessageCharsMax) ?? 'a value without a text'
  const fields = [['value', value] as const]
  return {
    name: thrownValueName,
    message,
    code: null,
    stack: null,
    hasCause: false,
    cause: undefined,
    fields,
  }
}

/** Puts an error together again: of the right native or Shoal class, else an `Error` with that name. */
export function buildError(parts: ErrorParts): Error {
  const error = blank(parts)
  if (error.name !== parts.name) hide(error, 'name', parts.name)
  hide(error, 'stack', parts.stack ?? `${parts.name}: ${parts.message}`)
  if (parts.hasCause) hide(error, 'cause', parts.cause)
  for (const [key, value] of parts.fields) {
    if (key === 'errors' && error instanceof AggregateError) continue
    Object.defineProperty(error, key, { value, writable: true, enumerable: true, configurable: true })
  }
  if (parts.code !== null) Object.assign(error, { code: parts.code })
  return error
}

function blank(parts: ErrorParts): Error {
  if (parts.name === 'AggregateError') {
    const errors = parts.fields.find(([key]) => key === 'errors')?.[1]
    return new AggregateError(Array.isArray(errors) ? errors : [], parts.message)
  }
  const prototype = prototypes.get(parts.name)
  if (prototype === undefined) return new (natives.get(parts.name) ?? Error)(parts.message)
  const error: Error = Object.setPrototypeOf(new Error(parts.message), prototype)
  // A Shoal error has these as own fields, which only its constructor would set.
  return Object.assign(error, { name: parts.name, code: '', story: [], data: {} })
}

function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true })
}

function read(error: Error, key: string): unknown {
  return attempt(() => Reflect.get(error, key))
}

function attempt<T>(body: () => T): T | undefined {
  try {
    return body()
  } catch {
    return undefined
  }
}

function text(value: unknown, charsMax: number): string | null {
  if (typeof value !== 'string') return null
  return value.length <= charsMax ? value : `${value.slice(0, charsMax - 1)}…`
}
