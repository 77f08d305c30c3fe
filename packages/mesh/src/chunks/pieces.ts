import { type ChunkRef, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { equalBytes } from '../membership/bytes.ts'
import { digest } from './digests.ts'

/** Bytes of one SHA-256. */
export const hashBytes = 32

/** Pieces that are hashed at the same time: each is copied for it. */
const hashesAtOnce = 4

/** How many pieces a chunk of that size has. */
export function pieceCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / limits.chunkPieceBytes)
}

/** Size in bytes of one piece of a chunk. */
export function pieceSize(sizeBytes: number, index: number): number {
  return Math.min(limits.chunkPieceBytes, sizeBytes - index * limits.chunkPieceBytes)
}

/** One piece of bytes that are all in memory; a view. */
export function pieceOf(bytes: Uint8Array, index: number): Uint8Array {
  const from = index * limits.chunkPieceBytes
  return bytes.subarray(from, from + limits.chunkPieceBytes)
}

/**
 * The SHA-256 of each piece. A chunk's hash is the SHA-256 of this list: no platform needs
 * more than one piece at a time for it, and whoever has the list can tell each piece by itself.
 */
export async function hashPieces(bytes: Uint8Array): Promise<Uint8Array> {
  const count = pieceCount(bytes.length)
  const hashes = new Uint8Array(count * hashBytes)
  let next = 0
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      hashes.set(await digest(pieceOf(bytes, index)), index * hashBytes)
    }
  }
  // Platforms hash on threads of their own.
  await Promise.all(Array.from({ length: hashesAtOnce }, lane))
  return hashes
}

export async function isPiece(bytes: Uint8Array, hashes: Uint8Array, index: number): Promise<boolean> {
  const from = index * hashBytes
  return equalBytes(await digest(bytes), hashes.subarray(from, from + hashBytes))
}

/** Whether these are the hashes of the chunk's pieces. */
export async function isHashList(hashes: Uint8Array, ref: ChunkRef): Promise<boolean> {
  if (hashes.length !== pieceCount(ref.sizeBytes) * hashBytes) return false
  return equalBytes(await digest(hashes), ref.hash)
}

/** Whether two references with one id mean the same bytes. */
export function isSameChunk(left: ChunkRef, right: ChunkRef): boolean {
  return left.sizeBytes === right.sizeBytes && equalBytes(left.hash, right.hash)
}

/** Refuses what no chunk can be: references come from other peers. */
export function checkRef(ref: ChunkRef): void {
  const { sizeBytes, hash } = ref
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw refError(ref, `its size must be a whole number: current value is ${sizeBytes}`)
  if (hash.length !== hashBytes)
    throw refError(ref, `its hash must have ${hashBytes} bytes: current value is ${hash.length}`)
  if (sizeBytes > limits.chunkBytesMax) {
    const text = `its size in bytes must be at most ${limits.chunkBytesMax}: current value is ${sizeBytes}`
    throw new ShoalError('E_TOO_LARGE', `Cannot fetch chunk ${ref.id} as ${text}`)
  }
}

export function refError(ref: { readonly id: string }, reason: string): ShoalError {
  return new ShoalError('E_CHUNK_REF', `Cannot use chunk ${ref.id} as ${reason}`, { data: { chunk: ref.id } })
}
