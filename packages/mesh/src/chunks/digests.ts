import { limits } from '../limits.ts'
import { sha256 as platformSha256 } from '../membership/crypto.ts'
import { sha256 as sha256Here } from '../membership/sha256.ts'
import { hashThreads } from './hash-threads.ts'

/** Below this many bytes a hash costs less than telling another thread of it. */
const threadsFromBytes = limits.chunkPieceBytes / 4

/**
 * The SHA-256 of a piece, or of a list of hashes. In Node by threads of its own, which share the memory that they
 * read: WebCrypto copies to fresh memory, and takes twice as long. In browsers by WebCrypto.
 * The bytes must stay as they are until the promise resolves.
 */
export async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  const threads = hashThreads(limits.chunkPieceBytes)
  if (threads === null) return platformSha256(bytes)
  const isForThreads = bytes.length >= threadsFromBytes && bytes.length <= limits.chunkPieceBytes
  return isForThreads ? threads.digest(bytes) : sha256Here(bytes)
}
