import { fromBase64Url } from './bytes.ts'
import type { CryptoSuite, KeyPair } from './suite.ts'

const encoder = new TextEncoder()
/** PKCS #8 of an Ed25519 private key up to its 32 bytes. */
const pkcs8Prefix = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20)

/** On the platform's WebCrypto: private keys cannot be read back. */
export const webSuite: CryptoSuite = {
  async sha256(bytes) {
    return new Uint8Array(await crypto.subtle.digest('SHA-256', owned(bytes)))
  },
  async hmac(key, bytes) {
    const algorithm = { name: 'HMAC', hash: 'SHA-256' }
    const imported = await crypto.subtle.importKey('raw', owned(key), algorithm, false, ['sign'])
    return new Uint8Array(await crypto.subtle.sign('HMAC', imported, owned(bytes)))
  },
  async hkdf(secret, label, length) {
    const key = await crypto.subtle.importKey('raw', owned(secret), 'HKDF', false, ['deriveBits'])
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: encoder.encode(label) }
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, length * 8))
  },
  keyPair: (seed) => (seed === null ? freshPair() : pairOf(seed)),
  async verify(publicKey, signature, bytes) {
    try {
      const key = await crypto.subtle.importKey('raw', owned(publicKey), 'Ed25519', true, ['verify'])
      return await crypto.subtle.verify('Ed25519', key, owned(signature), owned(bytes))
    } catch {
      return false
    }
  },
}

async function freshPair(): Promise<KeyPair> {
  const pair = (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair
  const publicKey = await exportPublicKey(pair.publicKey)
  return { publicKey, sign: (bytes) => signWith(pair.privateKey, bytes) }
}

async function pairOf(seed: Uint8Array): Promise<KeyPair> {
  const pkcs8 = new Uint8Array(48)
  pkcs8.set(pkcs8Prefix)
  pkcs8.set(seed, pkcs8Prefix.length)
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign'])
  const { x } = await crypto.subtle.exportKey('jwk', key)
  return { publicKey: fromBase64Url(x ?? ''), sign: (bytes) => signWith(key, bytes) }
}

/** The 32 bytes of a public key. */
export async function exportPublicKey(key: CryptoKey): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey('raw', key))
}

export async function signWith(key: CryptoKey, bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign('Ed25519', key, owned(bytes)))
}

/** A view over a plain buffer, as WebCrypto's types ask for. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}
