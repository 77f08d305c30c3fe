import { ShoalError } from '@shoal/scheduler'
import { Packr, Unpackr } from 'msgpackr'
import { limits } from '../limits.ts'
import { readUint32 } from './frames.ts'

const packr: Packr = new Packr({ useRecords: false, variableMapSize: true })
/** Copies byte strings: a view would keep (and clone to workers) the whole frame around it. */
const unpackr: Unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true })

/** Packs the body of a frame: arrays, numbers, strings, booleans, `null` and bytes, nothing else. */
export function packBody(value: unknown): Uint8Array {
  return plain(packr.pack(value))
}

/**
 * Unpacks the body of a frame after a walk over its structure: nothing is built, and no length is
 * believed, before depth, count and sizes are known to be in bounds.
 * @throws ShoalError `E_DECODE`, `E_DEPTH`, or `E_SCHEMA` for kinds of values that no body has (maps, extensions)
 */
export function unpackBody(bytes: Uint8Array): unknown {
  scan(bytes)
  try {
    return unpackr.unpack(plain(bytes))
  } catch (error) {
    throw new ShoalError('E_DECODE', 'Cannot unpack a body as it must be MessagePack: decoder failed', {
      cause: error,
    })
  }
}

/**
 * A plain view of its own: Node's buffers behave differently when sliced, compared or cloned, and the
 * decoder leaves a property behind on what it reads.
 */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Sizes of the values whose first byte says it all; see {@link scan} for the others. */
const fixedSizes: Readonly<Record<number, number>> = {
  192: 0, // null
  194: 0, // false
  195: 0, // true
  202: 4, // float 32
  203: 8, // float 64
  204: 1, // unsigned 8, 16, 32, 64
  205: 2,
  206: 4,
  207: 8,
  208: 1, // signed 8, 16, 32, 64
  209: 2,
  210: 4,
  211: 8,
}

/** Walks one MessagePack value without recursion: `open` holds the items still due at each level. */
function scan(bytes: Uint8Array): void {
  const open: number[] = [1]
  let at = 0
  let items = 0
  let hasMap = false
  while (open.length > 0) {
    const due = open[open.length - 1] as number
    if (due === 0) {
      open.pop()
      continue
    }
    open[open.length - 1] = due - 1
    if (at >= bytes.length) throw decodeError('it ends too early', at)
    if (++items > limits.itemsMax) throw decodeError(`it holds more than ${limits.itemsMax} values`, at)
    const token = bytes[at] as number
    const head = headOf(bytes, at, token)
    at += head.bytes
    if (head.isMap) hasMap = true
    if (head.count > bytes.length - at) throw decodeError('it names more items than it has bytes', at)
    if (head.count >= 0) {
      if (open.length > limits.depthMax) {
        throw new ShoalError(
          'E_DEPTH',
          `Cannot unpack a body as its depth must be at most ${limits.depthMax}: current value is ${open.length}`,
        )
      }
      open.push(head.count)
    }
    if (at > bytes.length) throw decodeError('it ends too early', at)
  }
  if (at !== bytes.length) throw decodeError('bytes follow its end', at)
  if (hasMap)
    throw new ShoalError('E_SCHEMA', 'Cannot read a body as it must be made of lists: it holds a map')
}

/** `bytes`: to skip, content of strings and byte strings included. `count`: nested items; -1 = none. */
interface Head {
  readonly bytes: number
  readonly count: number
  readonly isMap: boolean
}

function headOf(bytes: Uint8Array, at: number, token: number): Head {
  if (token < 0x80 || token >= 0xe0) return leaf(1)
  if (token < 0x90) return { bytes: 1, count: (token & 0x0f) * 2, isMap: true }
  if (token < 0xa0) return { bytes: 1, count: token & 0x0f, isMap: false }
  if (token < 0xc0) return leaf(1 + (token & 0x1f))
  const fixed = fixedSizes[token]
  if (fixed !== undefined) return leaf(1 + fixed)
  switch (token) {
    case 0xc4:
    case 0xd9:
      return leaf(2 + lengthAt(bytes, at + 1, 1))
    case 0xc5:
    case 0xda:
      return leaf(3 + lengthAt(bytes, at + 1, 2))
    case 0xc6:
    case 0xdb:
      return leaf(5 + lengthAt(bytes, at + 1, 4))
    case 0xdc:
      return { bytes: 3, count: lengthAt(bytes, at + 1, 2), isMap: false }
    case 0xdd:
      return { bytes: 5, count: lengthAt(bytes, at + 1, 4), isMap: false }
    case 0xde:
      return { bytes: 3, count: lengthAt(bytes, at + 1, 2) * 2, isMap: true }
    case 0xdf:
      return { bytes: 5, count: lengthAt(bytes, at + 1, 4) * 2, isMap: true }
    case 0xc1:
      throw decodeError('a byte has no meaning', at)
    default:
      throw new ShoalError('E_SCHEMA', 'Cannot read a body as it must have no extension types: it holds one')
  }
}

function leaf(bytes: number): Head {
  return { bytes, count: -1, isMap: false }
}

function lengthAt(bytes: Uint8Array, at: number, size: 1 | 2 | 4): number {
  if (at + size > bytes.length) throw decodeError('it ends too early', at)
  if (size === 1) return bytes[at] as number
  return size === 2 ? ((bytes[at] as number) << 8) | (bytes[at + 1] as number) : readUint32(bytes, at)
}

function decodeError(reason: string, at: number): ShoalError {
  return new ShoalError('E_DECODE', `Cannot unpack a body as ${reason}: stopped at byte ${at}`)
}
