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

/**
 * What follows the first bytes 0xc0 to 0xdf: 0 to 8 = so many bytes; -1, -2, -4 = a length of so many
 * bytes and that many bytes; `list` or `map` + 2 or 4 = a length of so many bytes and that many items.
 */
const list = 16
const map = 32
const extension = 64
const nothing = 65
const heads = Int8Array.of(
  ...[0, nothing, 0, 0, -1, -2, -4, extension],
  ...[extension, extension, 4, 8, 1, 2, 4, 8],
  ...[1, 2, 4, 8, extension, extension, extension, extension],
  ...[extension, -1, -2, -4, list + 2, list + 4, map + 2, map + 4],
)

/**
 * Walks one MessagePack value without recursion and without memory for what it passes: `due` holds the
 * items that each open level still lacks.
 */
function scan(bytes: Uint8Array): void {
  const due = [1]
  const end = bytes.length
  let at = 0
  let items = 0
  let hasMap = false
  while (due.length > 0) {
    const level = due.length - 1
    const left = due[level] as number
    if (left === 0) {
      due.pop()
      continue
    }
    due[level] = left - 1
    if (at >= end) throw decodeError('it ends too early', at)
    if (++items > limits.itemsMax) throw decodeError(`it holds more than ${limits.itemsMax} values`, at)
    const token = bytes[at++] as number
    let count = -1
    if (token >= 0xa0 && token < 0xc0) at += token & 0x1f
    else if (token >= 0x90 && token < 0xa0) count = token & 0x0f
    else if (token >= 0x80 && token < 0x90) {
      count = (token & 0x0f) * 2
      hasMap = true
    } else if (token >= 0xc0 && token < 0xe0) {
      const head = heads[token - 0xc0] as number
      if (head < 0) at += lengthAt(bytes, at, -head) - head
      else if (head <= 8) at += head
      else if (head < extension) {
        const isMap = head > map
        const width = head - (isMap ? map : list)
        count = lengthAt(bytes, at, width) * (isMap ? 2 : 1)
        at += width
        hasMap ||= isMap
      } else if (head === nothing) throw decodeError('a byte has no meaning', at)
      else
        throw new ShoalError(
          'E_SCHEMA',
          'Cannot read a body as it must hold plain values: it has an extension',
        )
    }
    if (at > end) throw decodeError('it ends too early', at)
    if (count < 0) continue
    if (count > end - at) throw decodeError('it names more items than it has bytes', at)
    if (due.length > limits.depthMax) throw depthError(due.length)
    due.push(count)
  }
  if (at !== end) throw decodeError('bytes follow its end', at)
  if (hasMap)
    throw new ShoalError('E_SCHEMA', 'Cannot read a body as it must be made of lists: it holds a map')
}

function lengthAt(bytes: Uint8Array, at: number, width: number): number {
  if (at + width > bytes.length) throw decodeError('it ends too early', at)
  if (width === 1) return bytes[at] as number
  return width === 2 ? ((bytes[at] as number) << 8) | (bytes[at + 1] as number) : readUint32(bytes, at)
}

function depthError(depth: number): ShoalError {
  return new ShoalError(
    'E_DEPTH',
    `Cannot unpack a body as its depth must be at most ${limits.depthMax}: current value is ${depth}`,
  )
}

function decodeError(reason: string, at: number): ShoalError {
  return new ShoalError('E_DECODE', `Cannot unpack a body as ${reason}: stopped at byte ${at}`)
}
