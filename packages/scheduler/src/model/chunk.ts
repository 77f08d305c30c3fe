import type { PeerId } from './ids.ts'

/** Identity of a chunk: `<peer>.<epoch>.<n>`, made by the peer that made the value, never used twice. */
export type ChunkId = string & { readonly __brand: 'ChunkId' }

/** A value that stays where it was made: what travels instead of its bytes. */
export interface ChunkRef {
  readonly id: ChunkId
  /** Size of the packed bytes. */
  readonly sizeBytes: number
  /**
   * What the bytes must match: SHA-256 over the SHA-256s of their pieces of 1 MiB (the last one may be shorter),
   * one after the other. Who cannot name it is given no byte.
   */
  readonly hash: Uint8Array
  /** The peer where it was made. Others may hold copies. */
  readonly home: PeerId
}

/** Builds the id of the `n`-th chunk that `peer` made in its start `epoch`. */
export function chunkId(peer: PeerId, epoch: number, n: number): ChunkId {
  return `${peer}.${epoch}.${n}` as ChunkId
}
