import { schemaError } from './validate.ts'

/*
 * Rows of numbers and byte strings without a field name, a type or an object each: what most messages are
 * made of. Whole numbers take 7 bits for each byte, lowest first; numbers that count up cost one byte.
 */

/** Numbers further from what was expected are written as they are. */
const nearMax = 2 ** 30

/** Writes rows into a buffer that all writers share: `take` before the next one begins. */
export interface RowWriter {
  /** A whole number from 0 to 2^53 - 1. */
  uint(value: number): void
  /** A whole number that is likely to be `expected`. */
  near(value: number, expected: number): void
  bytes(value: Uint8Array): void
  /** What was written, as bytes of their own. */
  take(): Uint8Array
}

/** Reads what a {@link RowWriter} wrote, also when it comes from a stranger. */
export interface RowReader {
  readonly isAtEnd: boolean
  /** @throws ShoalError `E_SCHEMA`, as the others */
  uint(where: string, max?: number): number
  near(where: string, expected: number): number
  /** A view of the bytes that are read. */
  bytes(where: string): Uint8Array
}

const bufferBytes = 65_536
let buffer = new Uint8Array(bufferBytes)

export function writeRows(): RowWriter {
  // One huge value must not cost memory for ever.
  if (buffer.length > 16 * bufferBytes) buffer = new Uint8Array(bufferBytes)
  return new BufferedRows()
}

export function readRows(bytes: Uint8Array): RowReader {
  return new BytesReader(bytes)
}

/** A class for speed, as the reader: every task goes through both. */
class BufferedRows implements RowWriter {
  #at = 0

  uint(value: number): void {
    if (this.#at + 8 > buffer.length) grow(8)
    let rest = value
    // Numbers above 2^31 do not survive bit operations.
    while (rest >= 0x80) {
      const next = Math.floor(rest / 0x80)
      buffer[this.#at++] = rest - next * 0x80 + 0x80
      rest = next
    }
    buffer[this.#at++] = rest
  }

  near(value: number, expected: number): void {
    const ahead = value - expected
    if (ahead > nearMax || ahead < -nearMax) {
      this.uint(0)
      this.uint(value)
    } else this.uint(ahead >= 0 ? ahead * 2 + 1 : ahead * -2)
  }

  bytes(value: Uint8Array): void {
    const { length } = value
    this.uint(length)
    if (this.#at + length > buffer.length) grow(length)
    // A call of the engine costs more than a short copy.
    if (length > 32) buffer.set(value, this.#at)
    else for (let at = 0; at < length; at++) buffer[this.#at + at] = value[at] as number
    this.#at += length
  }

  take(): Uint8Array {
    return buffer.slice(0, this.#at)
  }
}

function grow(missing: number): void {
  const larger = new Uint8Array(buffer.length * 2 + missing)
  larger.set(buffer)
  buffer = larger
}

class BytesReader implements RowReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  uint(where: string, max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw schemaError(where, 'whole', 'an end')
      value += (byte & 0x7f) * unit
      if (value > max) throw schemaError(where, `a whole number from 0 to ${max}`, value)
      if (byte < 0x80) return value
      if (unit > max) throw schemaError(where, `a whole number from 0 to ${max}`, value)
    }
  }

  near(where: string, expected: number): number {
    const coded = this.uint(where)
    if (coded === 0) return this.uint(where)
    const value = expected + (coded % 2 === 1 ? (coded - 1) / 2 : coded / -2)
    if (value < 0 || value > Number.MAX_SAFE_INTEGER) throw schemaError(where, 'a whole number', value)
    return value
  }

  bytes(where: string): Uint8Array {
    const length = this.uint(where, this.#bytes.length - this.#at)
    const from = this.#at
    if (from + length > this.#bytes.length) throw schemaError(where, 'whole', 'an end')
    this.#at = from + length
    return this.#bytes.subarray(from, this.#at)
  }
}
