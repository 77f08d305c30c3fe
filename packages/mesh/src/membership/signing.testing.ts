import { ed25519 } from '@noble/curves/ed25519.js'
import type { PeerId } from '@shoal/scheduler'
import { isEqual, type ReplicaSigning } from '../replica/seals.ts'
import { sha256 } from './sha256.ts'

/** Signs at once, so that virtual time need not stop; each name has its own key. For tests. */
export function createTestSigning(self: PeerId, room = 'testing'): ReplicaSigning {
  const secret = secretOf(self)
  return {
    room,
    publicKey: publicKeyOf(self),
    isKeyOf: (publicKey, peer) => isEqual(publicKey, publicKeyOf(peer)),
    sign: (bytes) => ed25519.sign(bytes, secret),
    verify(publicKey, signature, bytes) {
      try {
        return ed25519.verify(signature, bytes, publicKey)
      } catch {
        return false
      }
    },
  }
}

const publicKeys = new Map<PeerId, Uint8Array>()

function publicKeyOf(peer: PeerId): Uint8Array {
  const known = publicKeys.get(peer) ?? ed25519.getPublicKey(secretOf(peer))
  publicKeys.set(peer, known)
  return known
}

function secretOf(peer: PeerId): Uint8Array {
  return sha256(new TextEncoder().encode(`secret of ${peer}`))
}
