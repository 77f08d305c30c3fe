import { type ErrorRecord, ShoalError } from '@shoal/scheduler'
import {
  buildError,
  type ErrorParts,
  errorParts,
  isError,
  thrownValue,
  thrownValueName,
} from './error-parts.ts'
import { errorCausesMax, errorFieldsBytesMax } from './limits.ts'
import { packValue } from './pack.ts'
import { unpackValue } from './unpack.ts'

/**
 * The plain form of whatever was thrown. Never throws: parts that cannot be read or packed are left
 * out. A value that is no error becomes a record named `ThrownValue` that keeps it.
 */
export function errorToRecord(error: unknown): ErrorRecord {
  return toRecord(error, 0)
}

/** The error that a record tells of: same name, message, code, stack, causes and fields. */
export function errorFromRecord(record: ErrorRecord): Error {
  return fromRecord(record, 0)
}

function toRecord(error: unknown, depth: number): ErrorRecord {
  const parts = isError(error) ? errorParts(error) : thrownValue(error)
  const hasCause = parts.hasCause && parts.cause !== undefined && depth < errorCausesMax
  return {
    name: parts.name,
    message: parts.message,
    code: parts.code,
    stack: parts.stack,
    cause: hasCause ? toRecord(parts.cause, depth + 1) : null,
    fields: packFields(parts),
  }
}

function packFields(parts: ErrorParts): Uint8Array | null {
  const fields: unknown[] = []
  for (const [key, value] of parts.fields) {
    const single = tryPack(value)
    if (single !== null && single.byteLength <= errorFieldsBytesMax) fields.push(key, value)
  }
  const packed = fields.length === 0 ? null : tryPack(fields)
  return packed !== null && packed.byteLength <= errorFieldsBytesMax ? packed : null
}

function tryPack(value: unknown): Uint8Array | null {
  try {
    return packValue(value)
  } catch {
    return null
  }
}

function fromRecord(record: ErrorRecord, depth: number): Error {
  const cause = record.cause === null || depth >= errorCausesMax ? null : fromRecord(record.cause, depth + 1)
  return buildError({
    name: record.name,
    message: record.message,
    code: record.code,
    stack: record.stack,
    hasCause: cause !== null,
    cause: cause?.name === thrownValueName && 'value' in cause ? cause.value : cause,
    fields: record.fields === null ? [] : unpackFields(record.fields),
  })
}

function unpackFields(bytes: Uint8Array): [string, unknown][] {
  let flat: unknown
  try {
    flat = unpackValue(bytes)
  } catch (error) {
    // A stranger's record: its fields are not worth losing the error for.
    if (error instanceof ShoalError) return []
    throw error
  }
  if (!Array.isArray(flat)) return []
  const fields: [string, unknown][] = []
  for (let index = 0; index + 1 < flat.length; index += 2) fields.push([String(flat[index]), flat[index + 1]])
  return fields
}
