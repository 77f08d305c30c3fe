import { type ErrorRecord, PackedPayload, type Payload, ShoalError } from '@shoal/scheduler'
import { type HandleCodec, isCloneSafe, LivePayload, packValue, unpackValue } from '../values/index.ts'
import type { WireValue } from './protocol.ts'

/**
 * The form in which a value crosses to or from a worker: structured clone when that is exact, else packed.
 * @throws ShoalError `E_NOT_SERIALIZABLE`
 */
export function toWireValue(value: unknown, handles?: HandleCodec): WireValue {
  return isCloneSafe(value) ? { live: value } : { packed: packValue(value, handles) }
}

export function fromWireValue(wire: WireValue, handles?: HandleCodec): unknown {
  return 'live' in wire ? wire.live : unpackValue(wire.packed, handles)
}

export function payloadToWire(payload: Payload): WireValue {
  if (!(payload instanceof LivePayload)) return { packed: payload.pack() }
  return isCloneSafe(payload.value) ? { live: payload.value } : { packed: payload.pack() }
}

export function wireToPayload(wire: WireValue): Payload {
  return 'live' in wire ? new LivePayload(wire.live) : new PackedPayload(wire.packed)
}

/** The record of an error that Shoal found, with its facts. */
export function notSerializable(cause: unknown): ShoalError {
  if (cause instanceof ShoalError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new ShoalError(
    'E_NOT_SERIALIZABLE',
    `Cannot hand over a value as it must be plain data: current value was refused, ${reason}`,
    { cause },
  )
}

export type { ErrorRecord }
