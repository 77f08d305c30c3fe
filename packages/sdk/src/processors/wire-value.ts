import { type ErrorRecord, PackedPayload, type Payload, ShoalError } from '@shoal/scheduler'
import {
  type Apart,
  type HandleCodec,
  isCloneSafe,
  LivePayload,
  packValue,
  takeApart,
  unpackValue,
} from '../values/index.ts'
import type { WireInput, WireValue } from './protocol.ts'

/**
 * The form in which a value crosses to or from a worker: structured clone when that is exact, else packed.
 * @throws ShoalError `E_NOT_SERIALIZABLE`
 */
export function toWireValue(value: unknown, handles?: HandleCodec): WireValue {
  return isCloneSafe(value) ? { live: value } : { packed: packValue(value, handles) }
}

export function fromWireValue(wire: WireInput['value'], handles?: HandleCodec): unknown {
  if ('live' in wire) return wire.live
  return unpackValue('apart' in wire ? wire.apart : wire.packed, handles)
}

export function payloadToWire(payload: Payload): WireValue {
  if (!(payload instanceof LivePayload)) return { packed: payload.pack() }
  return isCloneSafe(payload.value) ? { live: payload.value } : { packed: payload.pack() }
}

/**
 * A payload for a worker, in bytes: what is large in them goes without being cloned. The payload itself stays.
 * @param transfers gets the buffers to give away
 */
export function packedToSend(payload: Payload, transfers: ArrayBuffer[]): Uint8Array | Apart {
  const bytes = payload.pack()
  const apart = takeApart(bytes)
  if (apart === null) return bytes
  transfers.push(...apart.parts)
  return apart
}

/** An input of a call: as {@link payloadToWire}. */
export function inputToWire(payload: Payload, transfers: ArrayBuffer[]): WireInput['value'] {
  if (payload instanceof LivePayload && isCloneSafe(payload.value)) return { live: payload.value }
  const packed = packedToSend(payload, transfers)
  return packed instanceof Uint8Array ? { packed } : { apart: packed }
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
