import { ShoalError } from '@shoal/scheduler'
import { Unpackr } from 'msgpackr'
import { type HandleCodec, handleCodec } from './handles.ts'
import { packedBytesMax } from './limits.ts'
import { withHandles } from './untag.ts'
// Also registers the extension that both directions need.
import './pack.ts'

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true })

/**
 * Reads what {@link packValue} wrote, also when it comes from a stranger. Nothing in the result is
 * shared with `bytes`.
 * @param handles how references to tasks inside become handles; default: the registered codec;
 *   without any they stay `{ job, no }`
 * @throws ShoalError `E_BAD_PAYLOAD`, `E_TOO_LARGE`
 */
export function unpackValue(bytes: Uint8Array, handles: HandleCodec | null = handleCodec()): unknown {
  if (bytes.byteLength > packedBytesMax) {
    const size = `current value is ${bytes.byteLength}`
    throw new ShoalError('E_TOO_LARGE', `Cannot unpack value as at most ${packedBytesMax} bytes fit: ${size}`)
  }
  try {
    return withHandles(handles, () => unpackr.unpack(bytes))
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `Cannot unpack value as ${reason}: current value is ${bytes.byteLength} bytes`
    throw new ShoalError('E_BAD_PAYLOAD', message, { cause })
  }
}
