import type { ChunkId } from '@shoal/scheduler'

/** How a peer can be reached: now, soon (its link is being made again), or not (it left, or nobody met it). */
export type Reach = 'linked' | 'away' | 'gone'

/** What one peer asks of another: a piece, or the list of all hashes. */
export interface Wanted {
  readonly request: number
  readonly id: ChunkId
  /** Of the chunk: only who was given its reference knows it. */
  readonly hash: Uint8Array
  /** `null`: the hashes of all pieces. */
  readonly index: number | null
}
