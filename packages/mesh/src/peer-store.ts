import { keysOf } from './invite.ts'
import { toHex } from './membership/bytes.ts'
import type { RoomKeys } from './membership/crypto.ts'
import type { KeptIdentity } from './membership/identity.ts'
import type { DurableStorage } from './replica/storage.ts'
import type { Invite } from './room.types.ts'

/** What a peer keeps from one start to the next: who it is, how often it started, its documents. */
export interface PeerStore extends Omit<KeptIdentity, 'release'> {
  readonly documents: DurableStorage
  /** Writes what waits, then lets others have it. Idempotent. */
  close(): Promise<void>
}

/**
 * Names what belongs together: the peers of one room (another room may have the same public name) in one
 * role. Letters, digits and dashes; says nothing about the room's key.
 */
export async function storeNameOf(invite: Invite): Promise<string> {
  const { roomKeyHash }: RoomKeys = await keysOf(invite)
  return `${invite.room}-${toHex(roomKeyHash.slice(0, 4))}-${invite.role}`
}
