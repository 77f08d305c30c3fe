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
