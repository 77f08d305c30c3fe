import { ShoalError, valueBytes } from '@shoal/scheduler'
import { Unpackr } from 'msgpackr'
import { type HandleCodec, handleCodec } from './handles.ts'
import { packedBytesMax } from './limits.ts'
import { type Apart, copyBuffer, hasParts, splitParts } from './parts.ts'
import { notSmall, unpackSmall } from './scalars.ts'
import { withParts } from './untag.ts'
// Also registers the extension that both directions need.
import './pack.ts'

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true })

/**
 * Reads what {@link packValue} wrote, also when it comes from a stranger. Nothing in the result is
 * shared with bytes; parts that were taken apart become the value's own.
 * @param handles how references to tasks inside become handles; default: the registered codec;
 *   without any they stay `{ job, no }`
 * @throws ShoalError `E_BAD_PAYLOAD`, `E_TOO_LARGE`
 */
export function unpackValue(
  packed: Uint8Array | Apart,
  handles: HandleCodec | null = handleCodec(),
): unknown {
  const bytes = packed instanceof Uint8Array ? packed : packed.rest
  if (bytes.byteLength > packedBytesMax) {
    const size = `current value is ${bytes.byteLength}`
    throw new ShoalError('E_TOO_LARGE', `Cannot unpack value as at most ${packedBytesMax} bytes fit: ${size}`)
  }
  const small = packed instanceof Uint8Array ? unpackSmall(packed) : notSmall
  if (small !== notSmall) return small
  try {
    return unpackParts(packed, handles)
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `Cannot unpack value as ${reason}: current value is ${bytes.byteLength} bytes`
    throw new ShoalError('E_BAD_PAYLOAD', message, { cause })
  }
}

function unpackParts(packed: Uint8Array | Apart, handles: HandleCodec | null): unknown {
  const whole = packed instanceof Uint8Array ? valueBytes(packed) : null
  if (whole !== null && !hasParts(whole))
    return withParts({ handles, nextPart: noParts }, () => unpackr.unpack(whole))
  const { rest, parts } = whole === null ? (packed as Apart) : splitParts(whole)
  let next = 0
  const nextPart = (index: number): ArrayBuffer => {
    const part = parts[next]
    if (index !== next || part === undefined) throw new Error(`its next part is not ${index}`)
    next++
    return part instanceof ArrayBuffer ? part : copyBuffer(part)
  }
  return withParts({ handles, nextPart }, () => unpackr.unpack(rest))
}

function noParts(index: number): never {
  throw new Error(`there is no part ${index}`)
}
