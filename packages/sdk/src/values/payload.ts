import type { Payload } from '@shoal/scheduler'
import { type HandleCodec, handleCodec } from './handles.ts'
import { packValue } from './pack.ts'
import { unpackValue } from './unpack.ts'

/** A value of this process. It is packed when somebody asks, once. Nobody may change the value. */
export class LivePayload implements Payload {
  readonly value: unknown
  #packed: Uint8Array | null = null

  constructor(value: unknown) {
    this.value = value
  }

  pack(): Uint8Array {
    this.#packed ??= packValue(this.value)
    return this.#packed
  }
}

/**
 * The value that a payload carries.
 * @throws ShoalError `E_BAD_PAYLOAD` when it came as bytes that mean nothing
 */
export function payloadValue(payload: Payload, handles: HandleCodec | null = handleCodec()): unknown {
  return payload instanceof LivePayload ? payload.value : unpackValue(payload.pack(), handles)
}
