import type { ReplicaSigning } from '../replica/index.ts'
import { type Identity, isSignature } from './crypto.ts'
import { sha256Hex } from './sha256.ts'

/** Signs a member's documents with the key that it said hello with. */
export function createSigning(room: string, identity: Identity): ReplicaSigning {
  return {
    room,
    publicKey: identity.publicKey,
    isKeyOf: (publicKey, peer) => sha256Hex(publicKey).slice(0, 20) === peer,
    sign: (bytes) => identity.sign(bytes),
    verify: isSignature,
  }
}
