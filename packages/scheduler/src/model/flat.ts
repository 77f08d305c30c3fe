/*
 * The few forms of MessagePack that most small messages are made of, written and read by hand: a general packer
 * costs a round trip several times what is in it, above all while its code is not compiled yet. What these do not
 * know the general ones do: both write and read the same bytes.
 */

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)
const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Bytes that a number takes at most. */
export const flatNumberBytesMax = 9
/** Bytes in front of a text or of bytes, at most. */
export const flatHeadBytesMax = 3

/** Writes small pieces. A class for speed: one is kept and used again. */
export class FlatWriter {
  /** Small pieces share memory: a buffer for each would keep the collector busier than the pieces do. */
  #slab: Uint8Array
  #slabUsed = 0
  #bytes: Uint8Array
  #from = 0
  #at = 0
  /** Something was not of a form that is known here. */
  isOdd = false

  /** @param slabBytes memory that pieces share; those of more than an eighth of it get their own */
  constructor(slabBytes: number) {
    this.#slab = new Uint8Array(slabBytes)
    this.#bytes = this.#slab
  }

  /** Begins a piece of at most `bytesMax` bytes behind `roomBytes` that somebody else fills. */
  start(bytesMax: number, roomBytes = 0): void {
    const bytes = roomBytes + bytesMax
    const { length } = this.#slab
    if (bytes > length / 8) {
      this.#bytes = new Uint8Array(bytes)
      this.#from = 0
    } else {
      if (this.#slabUsed + bytes > length) {
        this.#slab = new Uint8Array(length)
        this.#slabUsed = 0
      }
      this.#bytes = this.#slab
      this.#from = this.#slabUsed
    }
    this.#at = this.#from + roomBytes
    this.isOdd = false
  }

  /** Ends the piece: the room, and what was written. `null`: something was odd. */
  end(): Uint8Array | null {
    if (this.isOdd) return null
    if (this.#bytes === this.#slab) this.#slabUsed = this.#at
    return this.#bytes.subarray(this.#from, this.#at)
  }

  /** A list with a head of fixed size: of so many items. */
  longList(count: number): void {
    this.#bytes[this.#at] = 0xdd
    writeUint32(this.#bytes, this.#at + 1, count)
    this.#at += 5
  }

  list(count: number): void {
    const bytes = this.#bytes
    if (count < 16) bytes[this.#at++] = 0x90 | count
    else if (count < 0x10000) {
      bytes[this.#at] = 0xdc
      bytes[this.#at + 1] = count >>> 8
      bytes[this.#at + 2] = count
      this.#at += 3
    } else this.isOdd = true
  }

  /** A whole number from 0 up. */
  uint(value: number): void {
    const bytes = this.#bytes
    let at = this.#at
    if (value < 0x80) bytes[at++] = value
    else if (value < 0x100) {
      bytes[at++] = 0xcc
      bytes[at++] = value
    } else if (value < 0x10000) {
      bytes[at++] = 0xcd
      bytes[at++] = value >>> 8
      bytes[at++] = value
    } else if (value < 2 ** 32) {
      bytes[at++] = 0xce
      writeUint32(bytes, at, value)
      at += 4
    } else {
      this.#float(value)
      return
    }
    this.#at = at
  }

  /** A number, a boolean, a short ASCII text, `null` or `undefined`; all else is odd. */
  scalar(value: unknown): void {
    if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'string') this.text(value)
    else if (value === null) this.#bytes[this.#at++] = 0xc0
    else if (typeof value === 'boolean') this.#bytes[this.#at++] = value ? 0xc3 : 0xc2
    else if (value === undefined) {
      this.#bytes[this.#at] = 0xd4
      this.#bytes[this.#at + 1] = 0
      this.#bytes[this.#at + 2] = 0
      this.#at += 3
    } else this.isOdd = true
  }

  #number(value: number): void {
    const bytes = this.#bytes
    if (value >>> 0 === value) {
      // Minus zero is no whole number here.
      if (value === 0 && 1 / value < 0) this.isOdd = true
      this.uint(value)
    } else if (value >> 0 !== value) this.#float(value)
    else if (value >= -0x20) bytes[this.#at++] = 0x100 + value
    else if (value >= -0x80) {
      bytes[this.#at++] = 0xd0
      bytes[this.#at++] = value
    } else if (value >= -0x8000) {
      bytes[this.#at++] = 0xd1
      bytes[this.#at++] = value >> 8
      bytes[this.#at++] = value
    } else {
      bytes[this.#at] = 0xd2
      writeUint32(bytes, this.#at + 1, value)
      this.#at += 5
    }
  }

  #float(value: number): void {
    const bytes = this.#bytes
    float[0] = value
    bytes[this.#at++] = 0xcb
    for (let k = 0; k < 8; k++) bytes[this.#at++] = floatBytes[isLittleEndian ? 7 - k : k] as number
  }

  /** ASCII of at most 255 characters. */
  text(value: string): void {
    const bytes = this.#bytes
    const { length } = value
    let at = this.#at
    if (length < 32) bytes[at++] = 0xa0 | length
    else {
      bytes[at++] = 0xd9
      bytes[at++] = length
    }
    let all = 0
    for (let k = 0; k < length; k++) {
      const code = value.charCodeAt(k)
      all |= code
      bytes[at++] = code
    }
    if (all > 0x7f || length > 255) this.isOdd = true
    this.#at = at
  }

  /** At most 65,535 bytes. */
  binary(value: Uint8Array): void {
    const bytes = this.#bytes
    const { length } = value
    let at = this.#at
    if (length < 0x100) {
      bytes[at++] = 0xc4
      bytes[at++] = length
    } else {
      bytes[at++] = 0xc5
      bytes[at++] = length >>> 8
      bytes[at++] = length
    }
    if (length < 32) for (let k = 0; k < length; k++) bytes[at + k] = value[k] as number
    else bytes.set(value, at)
    if (length > 0xffff) this.isOdd = true
    this.#at = at + length
  }
}

const nothing = new Uint8Array(0)

/** Reads one piece. A class for speed: one is kept and used again. */
export class FlatReader {
  #bytes: Uint8Array = nothing
  #at = 0
  /** Something was not of a form that is known here, or of none at all: the general reader decides. */
  isOdd = false

  start(body: Uint8Array): void {
    this.#bytes = body
    this.#at = 0
    this.isOdd = false
  }

  /** Whether all was read and known. */
  end(): boolean {
    const isWhole = this.#at === this.#bytes.length
    this.#bytes = nothing
    return isWhole && !this.isOdd
  }

  /** Of how many items a list with a head of fixed size is. */
  longList(): number {
    if (this.#byte() !== 0xdd) this.isOdd = true
    return this.#uintOf(4)
  }

  list(): number {
    const token = this.#byte()
    if (token >= 0x90 && token < 0xa0) return token & 0x0f
    if (token !== 0xdc) this.isOdd = true
    return this.#uintOf(2)
  }

  uint(): number {
    const token = this.#byte()
    if (token < 0x80) return token
    if (token === 0xcc) return this.#uintOf(1)
    if (token === 0xcd) return this.#uintOf(2)
    if (token === 0xce) return this.#uintOf(4)
    if (token !== 0xcb) return this.#odd()
    const value = this.#float()
    return Number.isSafeInteger(value) && value >= 0 ? value : this.#odd()
  }

  /** What {@link FlatWriter.scalar} wrote. */
  scalar(): unknown {
    const token = this.#byte()
    if (token < 0x80) return token
    if (token >= 0xe0) return token - 0x100
    if (token >= 0xa0 && token < 0xc0) return this.#ascii(token & 0x1f)
    switch (token) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xcb:
        return this.#float()
      case 0xcc:
        return this.#uintOf(1)
      case 0xcd:
        return this.#uintOf(2)
      case 0xce:
        return this.#uintOf(4)
      case 0xd0:
        return (this.#uintOf(1) << 24) >> 24
      case 0xd1:
        return (this.#uintOf(2) << 16) >> 16
      case 0xd2:
        return this.#uintOf(4) >> 0
      case 0xd4:
        if (this.#uintOf(2) !== 0) this.isOdd = true
        return undefined
      case 0xd9:
        return this.#ascii(this.#byte())
      default:
        return this.#odd()
    }
  }

  #ascii(length: number): string {
    let text = ''
    for (let k = 0; k < length; k++) {
      const code = this.#byte()
      if (code > 0x7f) this.isOdd = true
      text += String.fromCharCode(code)
    }
    return text
  }

  #float(): number {
    for (let k = 0; k < 8; k++) floatBytes[isLittleEndian ? 7 - k : k] = this.#byte()
    return float[0] as number
  }

  /** Visible ASCII. @param before what stood here in the message before: mostly it is the same, and no new string */
  text(before: string): string {
    const token = this.#byte()
    const length = token === 0xd9 ? this.#byte() : token & 0x1f
    const bytes = this.#bytes
    const from = this.#at
    if ((token !== 0xd9 && (token < 0xa1 || token > 0xbf)) || from + length > bytes.length) {
      this.isOdd = true
      return before
    }
    this.#at = from + length
    let isSame = length === before.length
    for (let k = 0; isSame && k < length; k++) isSame = bytes[from + k] === before.charCodeAt(k)
    return isSame ? before : this.#textAt(from, length)
  }

  /** A copy. */
  binary(): Uint8Array {
    const token = this.#byte()
    const length = token === 0xc4 ? this.#uintOf(1) : this.#uintOf(2)
    const from = this.#at
    if ((token !== 0xc4 && token !== 0xc5) || from + length > this.#bytes.length) {
      this.isOdd = true
      return nothing
    }
    this.#at = from + length
    return this.#bytes.slice(from, from + length)
  }

  #textAt(from: number, length: number): string {
    let text = ''
    for (let k = 0; k < length; k++) {
      const code = this.#bytes[from + k] as number
      if (code < 0x21 || code > 0x7e) this.isOdd = true
      text += String.fromCharCode(code)
    }
    return text
  }

  #uintOf(width: number): number {
    let value = 0
    for (let k = 0; k < width; k++) value = value * 256 + this.#byte()
    return value
  }

  #byte(): number {
    return this.#at < this.#bytes.length ? (this.#bytes[this.#at++] as number) : this.#odd()
  }

  #odd(): number {
    this.isOdd = true
    return 0
  }
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
