import { ed25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { CryptoSuite } from './suite.ts'

const encoder = new TextEncoder()

/** In JavaScript: slower by far, which a few hellos do not notice. Loaded only where it is needed. */
export const nobleSuite: CryptoSuite = {
  sha256: async (bytes) => sha256(bytes),
  hmac: async (key, bytes) => hmac(sha256, key, bytes),
  hkdf: async (secret, label, length) => hkdf(sha256, secret, undefined, encoder.encode(label), length),
  async keyPair(seed) {
    const secret = seed ?? crypto.getRandomValues(new Uint8Array(32))
    const publicKey = ed25519.getPublicKey(secret)
    return { publicKey, sign: async (bytes) => ed25519.sign(bytes, secret) }
  },
  async verify(publicKey, signature, bytes) {
    try {
      return ed25519.verify(signature, bytes, publicKey)
    } catch {
      return false
    }
  },
}
