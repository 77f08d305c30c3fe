import { FlatReader, FlatWriter, flatHeadBytesMax, flatNumberBytesMax } from '@shoal/scheduler'

/*
 * Numbers, booleans, short texts, `null`, `undefined`, and short lists of those: what most small calls carry. Packed and
 * unpacked by hand, to the same bytes as all other values.
 */

/** Items of a list, and bytes of all, that are still small. */
const itemsMax = 15
const smallBytesMax = 256

const writer = new FlatWriter(8 * 1024)
const reader = new FlatReader()

/** @returns `null`: it is something else. The bytes share a buffer with others. */
export function packSmall(value: unknown): Uint8Array | null {
  if (typeof value !== 'object' || value === null) {
    const bytes = bytesMaxOf(value)
    if (bytes > smallBytesMax) return null
    writer.start(bytes)
    writer.scalar(value)
    return writer.end()
  }
  if (!Array.isArray(value) || value.length > itemsMax) return null
  let bytes = 1
  for (let at = 0; at < value.length; at++) bytes += bytesMaxOf(value[at])
  if (bytes > smallBytesMax) return null
  writer.start(bytes)
  writer.list(value.length)
  for (let at = 0; at < value.length; at++) writer.scalar(value[at])
  return writer.end()
}

function bytesMaxOf(value: unknown): number {
  return typeof value === 'string' ? flatHeadBytesMax + value.length : flatNumberBytesMax
}

/** What {@link unpackSmall} gives for all else: no value is this one. */
export const notSmall: unique symbol = Symbol('not small')

/** @returns {@link notSmall}: it is something else, or nothing good */
export function unpackSmall(bytes: Uint8Array): unknown {
  if (bytes.length > smallBytesMax) return notSmall
  const list = unpackSmallList(bytes)
  if (list !== null) return list
  reader.start(bytes)
  const value = reader.scalar()
  return reader.end() ? value : notSmall
}

/** @returns `null`: it is no list of scalars */
export function unpackSmallList(bytes: Uint8Array): unknown[] | null {
  const token = bytes[0] as number
  if (!(token >= 0x90 && token < 0xa0) || bytes.length > smallBytesMax) return null
  reader.start(bytes)
  const list: unknown[] = []
  for (let left = reader.list(); left > 0 && !reader.isOdd; left--) list.push(reader.scalar())
  return reader.end() ? list : null
}
