/** The few primitives that a hello needs. All byte strings are plain `Uint8Array`s. */
export interface CryptoSuite {
  sha256(bytes: Uint8Array): Promise<Uint8Array>
  /** HMAC-SHA-256. */
  hmac(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array>
  /** HKDF-SHA-256 without salt. */
  hkdf(secret: Uint8Array, label: string, length: number): Promise<Uint8Array>
  /** Ed25519: a fresh pair, or the one that belongs to 32 secret bytes. */
  keyPair(seed: Uint8Array | null): Promise<KeyPair>
  /** `false` for a signature or a key that is wrong in any way. */
  verify(publicKey: Uint8Array, signature: Uint8Array, bytes: Uint8Array): Promise<boolean>
}

/** The private half stays inside. */
export interface KeyPair {
  readonly publicKey: Uint8Array
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

let chosen: Promise<CryptoSuite> | null = null

/**
 * WebCrypto where there is one. Pages that come over plain http from another machine, as a phone's do in a
 * room on the local network, have none: they load the same primitives in JavaScript.
 */
export function cryptoSuite(): Promise<CryptoSuite> {
  chosen ??= choose()
  return chosen
}

async function choose(): Promise<CryptoSuite> {
  const hasWebCrypto = globalThis.crypto?.subtle !== undefined
  if (hasWebCrypto) {
    const { webSuite } = await import('./suite.web.ts')
    // Browsers that know WebCrypto may still be too old for Ed25519.
    const hasEd25519 = await webSuite.keyPair(null).then(
      () => true,
      () => false,
    )
    if (hasEd25519) return webSuite
  }
  return (await import('./suite.noble.ts')).nobleSuite
}
