import { PackedPayload, type Payload, type RangeItems, type RangeValues } from '@shoal/scheduler'
import { packValue } from './pack.ts'
import { LivePayload } from './payload.ts'

/** Items or values in a row; numbers alone may stand in a typed array. */
export type Row = readonly unknown[] | Float64Array

/** Items of a range in this process. A class, so that cutting them is cheap. */
export class LiveItems implements RangeItems {
  readonly #all: Row
  readonly #from: number
  readonly count: number
  /** Each is the only argument of its task; otherwise the list of all its arguments. */
  readonly isSingle: boolean
  /** They never leave this process. */
  readonly sizeBytes = 0

  /** @param all nobody may change it from now on; structured clone carries each of them exactly */
  constructor(all: Row, isSingle: boolean, from = 0, to: number = all.length) {
    this.#all = all
    this.isSingle = isSingle
    this.#from = from
    this.count = to - from
  }

  at(index: number): Payload {
    const item = this.#all[this.#from + index]
    return new LivePayload(this.isSingle ? [item] : item)
  }

  slice(from: number, to: number): LiveItems {
    return new LiveItems(this.#all, this.isSingle, this.#from + from, this.#from + to)
  }

  pack(): Uint8Array {
    return packValue([...this.toRow()])
  }

  /** The items in a row of their own, to be given away. */
  toRow(): Row {
    return this.#all.slice(this.#from, this.#from + this.count)
  }
}

/** Values of a slice in this process. */
export class SliceValues implements RangeValues {
  readonly #all: Row
  /** Indices in `all` of those that came as bytes; `null`: all are values. */
  readonly #packed: ReadonlySet<number> | null
  readonly #from: number
  readonly count: number

  constructor(all: Row, packed: ReadonlySet<number> | null, from = 0, to: number = all.length) {
    this.#all = all
    this.#packed = packed
    this.#from = from
    this.count = to - from
  }

  at(index: number): Payload {
    const at = this.#from + index
    const value = this.#all[at]
    return this.#packed?.has(at) === true ? new PackedPayload(value as Uint8Array) : new LivePayload(value)
  }

  slice(from: number, to: number): SliceValues {
    return new SliceValues(this.#all, this.#packed, this.#from + from, this.#from + to)
  }

  /** Puts all values into `target`; `false`: some have to be unpacked, one by one. */
  copyTo(target: unknown[], at: number): boolean {
    if (this.#packed !== null) return false
    for (let index = 0; index < this.count; index++) target[at + index] = this.#all[this.#from + index]
    return true
  }

  pack(): Uint8Array {
    return packValue(Array.from({ length: this.count }, (_, index) => this.#all[this.#from + index]))
  }
}
