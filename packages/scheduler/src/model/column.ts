import { ShoalError } from './errors.ts'
import { PackedPayload, type Payload, type RangeItems, type RangeValues } from './payload.ts'

/*
 * A column of values as bytes: form, count, then whole numbers as their distances to the one that was
 * expected (numbers that count up take one byte each), doubles of 8 bytes, or lengths and packed values.
 */
const forms = { values: 0, whole: 1, doubles: 2 } as const

/** Most values in one column: bounds what a few bytes of a stranger can ask for. */
export const columnMax: number = 65_536

/** Packed, or numbers alone. */
type Cells = Float64Array | readonly Uint8Array[]

/**
 * Arguments or values of tasks in a row, packed together: what ranges are made of on links and in documents. A
 * class, so that cutting one is cheap.
 */
export class PackedColumn implements RangeItems, RangeValues {
  readonly count: number
  /** Each value is the only argument of its task; otherwise it is taken as it is. */
  readonly isWrapped: boolean
  readonly #cells: Cells
  #packed: Uint8Array | null = null

  /** @param cells numbers, or packed values; nobody may change them from now on */
  constructor(cells: Cells, isWrapped: boolean) {
    this.#cells = cells
    this.count = cells.length
    this.isWrapped = isWrapped
  }

  /** All values, when they are numbers; `null`: they are packed. */
  get numbers(): Float64Array | null {
    return this.#cells instanceof Float64Array ? this.#cells : null
  }

  /** The packed values; `null`: they are numbers. */
  get parts(): readonly Uint8Array[] | null {
    return this.#cells instanceof Float64Array ? null : this.#cells
  }

  get sizeBytes(): number {
    return this.pack().length
  }

  at(index: number): Payload {
    const cell = this.#cells[index]
    if (cell === undefined)
      throw new ShoalError('E_INVARIANT', `Cannot read cell ${index}: current value is ${this.count} cells`)
    const bytes = typeof cell === 'number' ? packNumber(cell) : cell
    return new PackedPayload(this.isWrapped ? listOfOne(bytes) : bytes)
  }

  slice(from: number, to: number): PackedColumn {
    const cells = this.#cells
    const part = cells instanceof Float64Array ? cells.subarray(from, to) : cells.slice(from, to)
    return new PackedColumn(part, this.isWrapped)
  }

  pack(): Uint8Array {
    this.#packed ??= packCells(this.#cells, this.isWrapped)
    return this.#packed
  }
}

/**
 * Reads what {@link PackedColumn.pack} wrote, also when it comes from a stranger. Shares its memory.
 * @throws ShoalError `E_SCHEMA`
 */
export function readColumn(bytes: Uint8Array): PackedColumn {
  const reader = new ColumnReader(bytes)
  const head = reader.uint(5)
  const count = reader.uint(columnMax)
  return new PackedColumn(reader.cells(Math.floor(head / 2), count), head % 2 === 1)
}

class ColumnReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  uint(max: number): number {
    let value = 0
    for (let unit = 1; unit <= 2 ** 49; unit *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw malformed('an end')
      value += (byte & 0x7f) * unit
      if (value > max) throw malformed(value)
      if (byte < 0x80) return value
    }
    throw malformed(value)
  }

  cells(form: number, count: number): Cells {
    // Each cell takes a byte at least: no memory for what cannot be there.
    if (count > this.#bytes.length - this.#at) throw malformed(`${count} values`)
    const cells =
      form === forms.values
        ? this.#parts(count)
        : form === forms.whole
          ? this.#whole(count)
          : this.#doubles(count)
    if (this.#at !== this.#bytes.length) throw malformed('more bytes')
    return cells
  }

  #parts(count: number): Uint8Array[] {
    const parts: Uint8Array[] = []
    while (parts.length < count) {
      const size = this.uint(this.#bytes.length - this.#at)
      const from = this.#at
      this.#at += size
      if (this.#at > this.#bytes.length) throw malformed('an end')
      parts.push(this.#bytes.subarray(from, this.#at))
    }
    return parts
  }

  #whole(count: number): Float64Array {
    const numbers = new Float64Array(count)
    let expected = 0
    for (let index = 0; index < count; index++) {
      // Numbers that count up are one byte each, and there are many of them.
      const byte = this.#bytes[this.#at] as number
      const isShort = byte < 0x80
      if (isShort) this.#at++
      const value = expected + unfold(isShort ? byte : this.uint(2 ** 53))
      if (!Number.isSafeInteger(value)) throw malformed(value)
      numbers[index] = value
      expected = value + 1
    }
    return numbers
  }

  #doubles(count: number): Float64Array {
    const from = this.#at
    this.#at += count * 8
    if (this.#at > this.#bytes.length) throw malformed('an end')
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + from, count * 8)
    return Float64Array.from({ length: count }, (_, index) => view.getFloat64(index * 8, true))
  }
}

function malformed(actual: string | number): ShoalError {
  return new ShoalError('E_SCHEMA', `Cannot read a column as it must be whole: current value is ${actual}`)
}

function packCells(cells: Cells, isWrapped: boolean): Uint8Array {
  const flag = isWrapped ? 1 : 0
  if (cells instanceof Float64Array) {
    return areNear(cells) ? packWhole(cells, flag) : packDoubles(cells, flag)
  }
  const bytes = new Uint8Array(cells.reduce((size, cell) => size + sizeOfUint(cell.length) + cell.length, 4))
  let at = writeUint(bytes, writeUint(bytes, 0, forms.values * 2 + flag), cells.length)
  for (const cell of cells) {
    at = writeUint(bytes, at, cell.length)
    bytes.set(cell, at)
    at += cell.length
  }
  return bytes.subarray(0, at)
}

/** Whole numbers whose distances stay exact; others are not worth the trouble. */
function areNear(numbers: Float64Array): boolean {
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index] as number
    if (!Number.isInteger(value) || Math.abs(value) > 2 ** 47 || Object.is(value, -0)) return false
  }
  return true
}

function packWhole(numbers: Float64Array, flag: number): Uint8Array {
  const bytes = new Uint8Array(4 + numbers.length * 8)
  let at = writeUint(bytes, writeUint(bytes, 0, forms.whole * 2 + flag), numbers.length)
  let expected = 0
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index] as number
    at = writeUint(bytes, at, fold(value - expected))
    expected = value + 1
  }
  return bytes.slice(0, at)
}

function packDoubles(numbers: Float64Array, flag: number): Uint8Array {
  const bytes = new Uint8Array(4 + numbers.length * 8)
  const from = writeUint(bytes, writeUint(bytes, 0, forms.doubles * 2 + flag), numbers.length)
  const view = new DataView(bytes.buffer, from)
  for (let index = 0; index < numbers.length; index++)
    view.setFloat64(index * 8, numbers[index] as number, true)
  return bytes.subarray(0, from + numbers.length * 8)
}

/** Signed as unsigned, the small ones first. */
function fold(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1
}

function unfold(coded: number): number {
  if (coded < 0x80) return (coded & 1) === 0 ? coded >> 1 : -((coded + 1) >> 1)
  return coded % 2 === 0 ? coded / 2 : (coded + 1) / -2
}

function sizeOfUint(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** 7 bits for each byte, lowest first; gives where the next one begins. */
function writeUint(bytes: Uint8Array, from: number, value: number): number {
  let at = from
  let rest = value
  while (rest >= 0x80) {
    const next = Math.floor(rest / 0x80)
    bytes[at++] = rest - next * 0x80 + 0x80
    rest = next
  }
  bytes[at++] = rest
  return at
}

/** As every payload is packed: MessagePack's double. */
function packNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(9)
  bytes[0] = 0xcb
  new DataView(bytes.buffer).setFloat64(1, value)
  return bytes
}

/** MessagePack's list of one value. */
function listOfOne(value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + value.length)
  bytes[0] = 0x91
  bytes.set(value, 1)
  return bytes
}
