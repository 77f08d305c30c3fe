import { sha256 as portableSha256 } from '@noble/hashes/sha2.js'

/**
 * SHA-256 (FIPS 180-4) without a promise: `spawn` must know the address of an operation at once, documents are
 * checked while they are applied, and pages on plain http have no `crypto.subtle`. Node's own where there is one.
 */
export function sha256(bytes: Uint8Array): Uint8Array {
  return nodeCrypto === undefined
    ? portableSha256(bytes)
    : new Uint8Array(nodeCrypto.createHash('sha256').update(bytes).digest())
}

/** As {@link sha256}, in hexadecimal digits; of a text, its UTF-8 bytes are taken. */
export function sha256Hex(input: Uint8Array | string): string {
  const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input
  return Array.from(sha256(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

interface NodeCrypto {
  createHash(name: 'sha256'): { update(bytes: Uint8Array): { digest(): Uint8Array } }
}

/** Not imported: bundles for browsers have no such module. */
const nodeCrypto = (
  globalThis as { process?: { getBuiltinModule?(name: string): NodeCrypto | undefined } }
).process?.getBuiltinModule?.('node:crypto')
