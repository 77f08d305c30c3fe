import { limits } from './limits.ts'

/** Most large bodies are one piece of a chunk with what stands in front of it, in the frame that it came in or without. */
const sizeBytesMax = limits.lineFrameBytes
const sizeBytesMin = limits.chunkPieceBytes
/** Bodies that wait for their next use, at most. */
const freeMax = 32
const made = new WeakSet<ArrayBufferLike>()
const free: ArrayBufferLike[] = []

/** Memory to put something together in. Fresh memory costs more than all that is done with it. */
export function takeBody(sizeBytes: number): Uint8Array {
  if (sizeBytes < sizeBytesMin || sizeBytes > sizeBytesMax) return new Uint8Array(sizeBytes)
  const buffer = free.pop() ?? new ArrayBuffer(sizeBytesMax)
  made.add(buffer)
  return new Uint8Array(buffer, 0, sizeBytes)
}

/** Nobody reads what lies below `view` any more. Only memory of {@link takeBody} is taken back, and once. */
export function giveBody(view: Uint8Array): void {
  if (!made.delete(view.buffer) || free.length >= freeMax) return
  free.push(view.buffer)
}
