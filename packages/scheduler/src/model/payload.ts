/**
 * A user's value on its way. The core never looks inside: it stores, forwards and forgets payloads.
 * The shell decides whether one is a live value of this process or packed bytes.
 */
export interface Payload {
  /**
   * The packed form, made on first use and kept.
   * @throws ShoalError `E_NOT_SERIALIZABLE` when the value cannot be packed
   */
  pack(): Uint8Array
}

/** A payload that arrived as bytes: from a link, a document or a worker. */
export class PackedPayload implements Payload {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  pack(): Uint8Array {
    return this.bytes
  }
}

/** Arguments of the items of a range, in order. */
export interface RangeItems {
  readonly count: number
  /** About as many bytes as they take on their way; 0: they stay in this process. */
  readonly sizeBytes: number
  /** The arguments of one item, as those of a single task. */
  at(index: number): Payload
  /** The items from `from` up to `to`; copies nothing. */
  slice(from: number, to: number): RangeItems
  /** As a column: see `PackedColumn`. */
  pack(): Uint8Array
}

/** Values of the items of a slice, in order: what a slice's `done` carries. */
export interface RangeValues extends Payload {
  readonly count: number
  at(index: number): Payload
  slice(from: number, to: number): RangeValues
}
