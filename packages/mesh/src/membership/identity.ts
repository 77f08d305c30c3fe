import type { Identity } from './crypto.ts'

/** Who a peer is, kept for its next start, and held by nobody else meanwhile. */
export interface KeptIdentity {
  readonly identity: Identity
  /** Of this start: above those of all starts before. It was written down before anybody could see it. */
  readonly epoch: number
  /** The epoch rose while the peer ran: its next start has to be above it. Never throws. */
  saveEpoch(epoch: number): void
  /** Lets others have it. Idempotent. */
  release(): Promise<void>
}

/** Peers of one room on one machine, at most: each has an identity of its own. */
export const slotsMax = 64
