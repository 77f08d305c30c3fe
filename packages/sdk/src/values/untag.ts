import { type JobId, readChunkReference, type TaskRef } from '@shoal/scheduler'
import { buildError } from './error-parts.ts'
import type { HandleCodec, HandleRef } from './handles.ts'
import { copyBuffer } from './parts.ts'
import { binaryTypes, tag } from './tags.ts'

/** What {@link untag} needs besides the part itself. */
export interface UntagParts {
  /** What rebuilds handles. */
  readonly handles: HandleCodec | null
  /** The next of the large parts: they are met in their order, each once. */
  readonly nextPart: (index: number) => ArrayBuffer
}

let current: UntagParts | null = null

/** Runs `body` (synchronously) with these parts for what {@link untag} meets. */
export function withParts<T>(parts: UntagParts, body: () => T): T {
  const before = current
  current = parts
  try {
    return body()
  } finally {
    current = before
  }
}

/** Rebuilds one tagged part. Whatever is malformed throws; the caller makes a typed error of it. */
export function untag(part: unknown): unknown {
  if (!Array.isArray(part) || part.length !== 2) throw new Error('an extension is malformed')
  const [kind, body] = part as [unknown, unknown]
  switch (kind) {
    case tag.minusZero:
      return -0
    case tag.bigint:
      return toBigInt(String(body))
    case tag.date:
      return new Date(body as number)
    case tag.regexp: {
      const [source, flags] = list(body) as [string, string]
      return new RegExp(source, flags)
    }
    case tag.map:
      return new Map(pairs(body))
    case tag.set:
      return new Set(list(body))
    case tag.error:
      return toError(list(body))
    case tag.handle:
      return toHandle(list(body))
    case tag.service:
      return toService(body)
    case tag.chunk:
      return toChunk(body)
    case tag.entries:
      return Object.fromEntries(pairs(body))
    default:
      return toBinary(kind, body)
  }
}

function toBigInt(text: string): bigint {
  return text.startsWith('-') ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`)
}

function toError(body: readonly unknown[]): Error {
  const [name, message, code, stack, cause, fields] = body
  const causes = list(cause)
  return buildError({
    name: String(name),
    message: String(message),
    code: typeof code === 'string' ? code : null,
    stack: typeof stack === 'string' ? stack : null,
    hasCause: causes.length > 0,
    cause: causes[0],
    fields: pairs(fields).map(([key, value]) => [String(key), value]),
  })
}

function toHandle(body: readonly unknown[]): unknown {
  const [job, no] = body
  if (typeof job !== 'string' || !Number.isSafeInteger(no)) throw new Error('a task handle is malformed')
  const ref: TaskRef = { job: job as JobId, no: no as number }
  return fromRef(ref)
}

function toService(body: unknown): unknown {
  if (typeof body !== 'string') throw new Error('a service handle is malformed')
  const ref: HandleRef = { service: body }
  return fromRef(ref)
}

function toChunk(body: unknown): unknown {
  if (!(body instanceof Uint8Array)) throw new Error('a chunk is malformed')
  return fromRef(readChunkReference(body))
}

function fromRef(ref: HandleRef): unknown {
  const handles = current?.handles ?? null
  return handles === null ? ref : handles.fromRef(ref)
}

function toBinary(kind: unknown, body: unknown): unknown {
  const type = typeof kind === 'number' ? binaryTypes[kind - tag.binary] : undefined
  if (type === undefined) throw new Error(`an extension is unknown: ${String(kind)}`)
  if (typeof body === 'number' && current !== null) return type.build(current.nextPart(body))
  if (!(body instanceof Uint8Array)) throw new Error(`a ${type.name} is malformed`)
  // A copy: the part may lie at any offset, and views need theirs aligned.
  return type.build(copyBuffer(body))
}

function list(body: unknown): readonly unknown[] {
  if (!Array.isArray(body)) throw new Error('an extension is malformed')
  return body
}

function pairs(body: unknown): [unknown, unknown][] {
  const flat = list(body)
  const result: [unknown, unknown][] = []
  for (let index = 0; index + 1 < flat.length; index += 2) result.push([flat[index], flat[index + 1]])
  return result
}
