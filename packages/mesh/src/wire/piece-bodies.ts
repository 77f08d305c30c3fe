import { limits } from '../limits.ts'
import { pieceHeaderBytes } from './control.ts'

/** Most pieces come in bodies of this size, one after the other. */
const bodyBytes = limits.chunkPieceBytes + pieceHeaderBytes
/** Bodies that wait for their next use, at most. */
const freeMax = 32
const made = new WeakSet<ArrayBufferLike>()
const free: Uint8Array[] = []

/** A body to put something together in. Fresh memory costs more than all that is done with it. */
export function takeBody(sizeBytes: number): Uint8Array {
  const used = sizeBytes === bodyBytes ? free.pop() : undefined
  if (used !== undefined) return used
  const body = new Uint8Array(sizeBytes)
  if (sizeBytes === bodyBytes) made.add(body.buffer)
  return body
}

/** Nobody reads what lies below `view` any more. Only bodies of {@link takeBody} are taken back. */
export function giveBody(view: Uint8Array): void {
  if (made.has(view.buffer) && free.length < freeMax) free.push(new Uint8Array(view.buffer))
}
