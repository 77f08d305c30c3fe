import {
  type JobId,
  type OperationHash,
  type PeerId,
  type PeerRole,
  type ProcessorId,
  ShoalError,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'

/** Raised by each check below; `where` names the field for people. */
export function schemaError(where: string, wanted: string, value: unknown): ShoalError {
  return new ShoalError(
    'E_SCHEMA',
    `Cannot read ${where} as it must be ${wanted}: current value is ${show(value)}`,
  )
}

/** A list of exactly `length` values: an extra one is as wrong as a missing one. */
export function asTuple(value: unknown, length: number, where: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length !== length) throw schemaError(where, `a list of ${length}`, value)
  return value
}

/** A list of at most `lengthMax` values, each read by `read`. */
export function asList<T>(
  value: unknown,
  lengthMax: number,
  where: string,
  read: (item: unknown) => T,
): readonly T[] {
  if (!Array.isArray(value) || value.length > lengthMax) {
    throw schemaError(where, `a list of at most ${lengthMax}`, value)
  }
  return value.map((item) => read(item))
}

/** A whole number from 0 to `max` (default 2^53 - 1). */
export function asUint(value: unknown, where: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw schemaError(where, `a whole number from 0 to ${max}`, value)
  }
  return value
}

/** A finite number from `min` to `max`. */
export function asNumber(value: unknown, where: string, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw schemaError(where, `a number from ${min} to ${max}`, value)
  }
  return value
}

export function asBoolean(value: unknown, where: string): boolean {
  if (typeof value !== 'boolean') throw schemaError(where, 'true or false', value)
  return value
}

/** Bytes: exactly `length` of them when it is given. */
export function asBytes(value: unknown, where: string, length?: number): Uint8Array {
  if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) {
    throw schemaError(where, length === undefined ? 'bytes' : `${length} bytes`, value)
  }
  return value
}

/** Text for people: well-formed Unicode of at most `charsMax` characters. */
export function asText(value: unknown, where: string, charsMax: number = limits.nameCharsMax): string {
  if (typeof value !== 'string' || value.length > charsMax || hasLoneSurrogate(value)) {
    throw schemaError(where, `text of at most ${charsMax} characters`, value)
  }
  return value
}

/** An identifier: visible ASCII, so that it means the same in every log, map and sort. */
export function asId(value: unknown, where: string): string {
  if (typeof value !== 'string' || value.length > limits.idCharsMax || !/^[\x21-\x7e]+$/.test(value)) {
    throw schemaError(where, `an identifier of at most ${limits.idCharsMax} characters`, value)
  }
  return value
}

export function asPeerId(value: unknown, where: string): PeerId {
  return asId(value, where) as PeerId
}

export function asJobId(value: unknown, where: string): JobId {
  return asId(value, where) as JobId
}

export function asProcessorId(value: unknown, where: string): ProcessorId {
  return asId(value, where) as ProcessorId
}

export function asOperationHash(value: unknown, where: string): OperationHash {
  const id = asId(value, where)
  if (!/^[0-9a-f]{64}#./.test(id)) throw schemaError(where, 'a SHA-256, # and a name', value)
  return id as OperationHash
}

export function asRole(value: unknown, where: string): PeerRole {
  if (value !== 'member' && value !== 'contributor') throw schemaError(where, 'member or contributor', value)
  return value
}

/** Makes text fit for {@link asText}: cut, and without halves of surrogate pairs. */
export function fitText(text: string, charsMax: number = limits.nameCharsMax): string {
  const cut = text.length > charsMax ? text.slice(0, charsMax) : text
  return hasLoneSurrogate(cut) ? cut.replace(/\p{Surrogate}/gu, '\ufffd') : cut
}

function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text)
}

function show(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string')
    return value.length > 40 ? `text of ${value.length} characters` : JSON.stringify(value)
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (value instanceof Uint8Array) return `${value.length} bytes`
  return typeof value
}
