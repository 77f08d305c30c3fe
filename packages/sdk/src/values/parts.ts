/*
 * Large binary parts of a packed value lie behind the rest of it as they are: packing copies each once, and
 * reading does. The bytes are: a mark, the size of the rest and the number of parts (4 bytes each), the size
 * of each part (4 bytes), the rest (where a part stands only its number is), and the parts.
 */

/** From this many bytes on a part lies behind the rest. */
export const partBytesMin: number = 32 * 1024
/** MessagePack never begins so. */
const mark = 0xc1
const headBytes = 9

/** A packed value with its parts in buffers of their own, which may be given away. */
export interface Apart {
  readonly rest: Uint8Array
  readonly parts: readonly ArrayBuffer[]
}

/** The parts that lie behind `rest`, as views. */
export interface Split {
  readonly rest: Uint8Array
  readonly parts: readonly Uint8Array[]
}

export function joinParts({ rest, parts }: Split): Uint8Array {
  const from = headBytes + parts.length * 4
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, from + rest.length)
  const bytes = new Uint8Array(sizeBytes)
  const head = new DataView(bytes.buffer)
  head.setUint8(0, mark)
  head.setUint32(1, rest.length)
  head.setUint32(5, parts.length)
  bytes.set(rest, from)
  let at = from + rest.length
  parts.forEach((part, index) => {
    head.setUint32(headBytes + index * 4, part.length)
    bytes.set(part, at)
    at += part.length
  })
  return bytes
}

export function hasParts(bytes: Uint8Array): boolean {
  return bytes[0] === mark
}

/** @throws Error when the sizes do not add up: the bytes may be a stranger's */
export function splitParts(bytes: Uint8Array): Split {
  if (bytes.length < headBytes) throw new Error('its head is cut off')
  const head = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const restBytes = head.getUint32(1)
  const count = head.getUint32(5)
  let at = headBytes + count * 4 + restBytes
  if (at > bytes.length) throw new Error('its parts are cut off')
  const rest = bytes.subarray(at - restBytes, at)
  const parts: Uint8Array[] = []
  for (let index = 0; index < count; index++) {
    const sizeBytes = head.getUint32(headBytes + index * 4)
    if (at + sizeBytes > bytes.length) throw new Error('its parts are cut off')
    parts.push(bytes.subarray(at, at + sizeBytes))
    at += sizeBytes
  }
  if (at !== bytes.length) throw new Error('bytes follow its parts')
  return { rest, parts }
}

/** Copies of the parts in buffers of their own; `null`: there are none, or they make no sense. */
export function takeApart(bytes: Uint8Array): Apart | null {
  if (!hasParts(bytes)) return null
  try {
    const { rest, parts } = splitParts(bytes)
    // A view would take all of its buffer along to another thread.
    return { rest: new Uint8Array(copyBuffer(rest)), parts: parts.map(copyBuffer) }
  } catch {
    // Whoever reads the value says so.
    return null
  }
}

/** A buffer that holds these bytes and nothing else. */
export function copyBuffer(bytes: Uint8Array): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes.byteLength)
  new Uint8Array(buffer).set(bytes)
  return buffer
}
