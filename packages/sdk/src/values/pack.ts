import { ChunkPayload, ShoalError } from '@shoal/scheduler'
import { addExtension, Packr } from 'msgpackr'
import { errorParts, isError } from './error-parts.ts'
import { type HandleCodec, handleCodec } from './handles.ts'
import { packedBytesMax, valueDepthMax } from './limits.ts'
import { joinParts, partBytesMin } from './parts.ts'
import { packSmall } from './scalars.ts'
import { binaryTypes, Tagged, tag } from './tags.ts'
import { untag } from './untag.ts'

/** Where the walk is: the objects around the present one, and the key taken in each. */
interface Walk {
  readonly around: object[]
  readonly keys: (string | number)[]
  readonly handles: HandleCodec | null
  /** Binary data that need not be packed. */
  readonly parts: Uint8Array[]
  bytes: number
}

// One extension type carries all tags, so that other users of the same msgpackr keep theirs.
addExtension({
  Class: Tagged,
  type: 0x53,
  write: (part: Tagged) => [part.tag, part.body],
  read: untag,
} as Parameters<typeof addExtension>[0])

const packr = new Packr({ useRecords: false, useToJSON: false } as ConstructorParameters<typeof Packr>[0])
const minusZero = new Tagged(tag.minusZero, null)
const plain = '[object Object]'

/**
 * Packs a value of plain data: what `structuredClone` takes without platform objects, plus task
 * handles and errors with all their fields. Instances of classes become plain objects.
 * @param handles how handles inside are written; default: the registered codec
 * @throws ShoalError `E_NOT_SERIALIZABLE` naming the part that cannot be packed, `E_TOO_LARGE`
 */
export function packValue(value: unknown, handles: HandleCodec | null = handleCodec()): Uint8Array {
  return pack(value, handles, (bytes) => Uint8Array.prototype.slice.call(bytes))
}

/**
 * Packs like {@link packValue}; small results share a buffer with others, so nobody may transfer it away.
 * For the arguments and results of tasks: they are many.
 */
export function packShared(value: unknown, handles: HandleCodec | null = handleCodec()): Uint8Array {
  return packSmall(value) ?? pack(value, handles, copyOf)
}

/** @param copy what the packer gives lies in its own buffer until the next call */
function pack(
  value: unknown,
  handles: HandleCodec | null,
  copy: (bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  const parts: Uint8Array[] = []
  const wire = toWire(value, { around: [], keys: [], handles, parts, bytes: 0 })
  const packed = packr.pack(wire)
  return parts.length === 0 ? copy(packed) : joinParts({ rest: packed, parts })
}

/** Small copies share a slab: a buffer for each would keep the collector busier than the values do. */
const slabBytes = 8 * 1024
const slabbedBytesMax = 512
let slab = new Uint8Array(slabBytes)
let slabUsed = 0

function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length > slabbedBytesMax) return Uint8Array.prototype.slice.call(bytes)
  if (slabUsed + bytes.length > slabBytes) {
    slab = new Uint8Array(slabBytes)
    slabUsed = 0
  }
  const copy = slab.subarray(slabUsed, slabUsed + bytes.length)
  slabUsed += bytes.length
  copy.set(bytes)
  return copy
}

/** The value itself when msgpack can write it as it is, else a copy of tagged parts. */
function toWire(value: unknown, walk: Walk): unknown {
  switch (typeof value) {
    case 'number':
      return value === 0 && Object.is(value, -0) ? minusZero : value
    case 'string':
      countBytes(value.length, walk)
      return value
    case 'boolean':
    case 'undefined':
      return value
    case 'bigint':
      return new Tagged(tag.bigint, value < 0n ? `-${(-value).toString(16)}` : value.toString(16))
    case 'object':
      return value === null ? null : objectToWire(value, walk)
    case 'function':
      if (walk.handles?.isHandle(value) === true) return handleToWire(value, walk.handles)
      throw refusal(walk, `the function ${value.name || '(anonymous)'}`)
    default:
      throw refusal(walk, `a ${typeof value}`)
  }
}

function objectToWire(value: object, walk: Walk): unknown {
  const { around } = walk
  if (around.length >= valueDepthMax) {
    throw refusal(walk, `nested deeper than ${valueDepthMax} levels`)
  }
  if (around.includes(value)) throw refusal(walk, 'a reference to an object around it (a cycle)')
  if (walk.handles?.isHandle(value) === true) return handleToWire(value, walk.handles)
  around.push(value)
  const wire = Array.isArray(value) ? arrayToWire(value, walk) : bodyToWire(value, walk)
  around.pop()
  walk.keys.length = around.length
  return wire
}

function arrayToWire(value: readonly unknown[], walk: Walk): unknown {
  const depth = walk.around.length - 1
  let copy: unknown[] | null = null
  for (let index = 0; index < value.length; index++) {
    const child = value[index]
    walk.keys[depth] = index
    const wire = toWire(child, walk)
    if (copy === null && wire !== child) copy = value.slice(0, index)
    if (copy !== null) copy[index] = wire
  }
  return copy ?? value
}

function bodyToWire(value: object, walk: Walk): unknown {
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return recordToWire(value, walk, false)
  if (ArrayBuffer.isView(value) || isBuffer(value)) return binaryToWire(value, walk)
  if (value instanceof Map) return new Tagged(tag.map, arrayToWire(partsOf(value, walk).flat(1), walk))
  if (value instanceof Set) return new Tagged(tag.set, arrayToWire(partsOf(value, walk), walk))
  if (value instanceof Date) return new Tagged(tag.date, value.getTime())
  if (value instanceof RegExp) return new Tagged(tag.regexp, [value.source, value.flags])
  if (isError(value)) return errorToWire(value, walk)
  const shown = Object.prototype.toString.call(value)
  if (shown !== plain) throw refusal(walk, `a ${shown.slice(8, -1)}`)
  return recordToWire(value, walk, true)
}

function partsOf(value: Iterable<unknown>, walk: Walk): unknown[] {
  try {
    return [...value]
  } catch (cause) {
    throw refusal(walk, 'a collection that cannot be read', cause)
  }
}

function recordToWire(value: object, walk: Walk, isCopied: boolean): unknown {
  const depth = walk.around.length - 1
  const source = value as Record<string, unknown>
  const keys = Object.keys(source)
  if (keys.includes('__proto__')) {
    const flat = keys.flatMap((key) => [key, source[key]])
    return new Tagged(tag.entries, arrayToWire(flat, walk))
  }
  let copy: Record<string, unknown> | null = isCopied ? {} : null
  for (const key of keys) {
    walk.keys[depth] = key
    countBytes(key.length, walk)
    const child = readProperty(source, key, walk)
    const wire = toWire(child, walk)
    if (copy === null && wire !== child) copy = { ...source }
    if (copy !== null) copy[key] = wire
  }
  return copy ?? source
}

function readProperty(source: Record<string, unknown>, key: string, walk: Walk): unknown {
  try {
    return source[key]
  } catch (cause) {
    throw refusal(walk, 'a getter that throws', cause)
  }
}

function binaryToWire(value: ArrayBufferView | ArrayBufferLike, walk: Walk): unknown {
  const name = ArrayBuffer.isView(value)
    ? (Object.prototype.toString.call(value).slice(8, -1) as string)
    : 'ArrayBuffer'
  const index = binaryTypes.findIndex((type) => type.name === name)
  if (index === -1) throw refusal(walk, `a ${name}`)
  countBytes(value.byteLength, walk)
  try {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    if (bytes.length < partBytesMin) return new Tagged(tag.binary + index, bytes)
    return new Tagged(tag.binary + index, walk.parts.push(bytes) - 1)
  } catch (cause) {
    throw refusal(walk, `a ${name} that was transferred away`, cause)
  }
}

function errorToWire(error: Error, walk: Walk): unknown {
  const parts = errorParts(error)
  const fields = parts.fields.flatMap(([key, value]) => {
    const wire = optional(value, walk)
    return wire === undefined ? [] : [key, wire.wire]
  })
  const cause = parts.hasCause ? [optional(parts.cause, walk)?.wire] : []
  return new Tagged(tag.error, [parts.name, parts.message, parts.code, parts.stack, cause, fields])
}

/** Parts of an error that cannot be packed are left out: telling of the error matters more. */
function optional(value: unknown, walk: Walk): { readonly wire: unknown } | undefined {
  const depth = walk.around.length
  const parts = walk.parts.length
  try {
    return { wire: toWire(value, walk) }
  } catch {
    walk.around.length = depth
    walk.parts.length = parts
    return undefined
  }
}

function handleToWire(handle: object, handles: HandleCodec): Tagged {
  const ref = handles.toRef(handle)
  if (ref instanceof ChunkPayload) return new Tagged(tag.chunk, ref.pack())
  return 'service' in ref ? new Tagged(tag.service, ref.service) : new Tagged(tag.handle, [ref.job, ref.no])
}

function isBuffer(value: object): value is ArrayBufferLike {
  if (value instanceof ArrayBuffer) return true
  return typeof SharedArrayBuffer !== 'undefined' && value instanceof SharedArrayBuffer
}

function countBytes(bytes: number, walk: Walk): void {
  walk.bytes += bytes
  if (walk.bytes <= packedBytesMax) return
  throw new ShoalError(
    'E_TOO_LARGE',
    `Cannot pack value as at most ${packedBytesMax} bytes fit: current value has more up to ${pathOf(walk)}`,
    { data: { path: pathOf(walk) } },
  )
}

function refusal(walk: Walk, found: string, cause?: unknown): ShoalError {
  const path = pathOf(walk)
  const message = `Cannot pack value as every part must be plain data: current value at ${path} is ${found}`
  return new ShoalError('E_NOT_SERIALIZABLE', message, { cause, data: { path } })
}

function pathOf(walk: Walk): string {
  const steps = walk.keys.slice(0, walk.around.length).slice(0, 32)
  const text = steps.map((key) =>
    typeof key === 'number' ? `[${key}]` : /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`,
  )
  return `$${text.join('')}`
}
