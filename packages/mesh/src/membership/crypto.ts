import { type PeerId, ShoalError } from '@shoal/scheduler'

/** Who a peer is: a key pair. Two peers must never share one; a restart with the same one raises the epoch. */
export interface Identity {
  /** First 20 hex digits of the SHA-256 of the public key. */
  readonly peer: PeerId
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

/** Keys of a room, as far as an invite gives them. */
export interface RoomKeys {
  /** Proves membership between members; `null` for contributors. */
  readonly member: Uint8Array | null
  /** Proves the right to lend; known to members, too. */
  readonly contributor: Uint8Array
  /** What a member shows to contributors, who cannot check the member key: the room's signature. */
  readonly room: Identity | null
  /** First 16 bytes of the SHA-256 of the room's public key. */
  readonly roomKeyHash: Uint8Array
}

const encoder = new TextEncoder()
/** PKCS #8 of an Ed25519 private key up to its 32 bytes. */
const pkcs8Prefix = fromHex('302e020100300506032b657004220420')

/** A fresh key pair; its private half cannot be exported. */
export async function createIdentity(): Promise<Identity> {
  const pair = (await subtle().generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair
  const publicKey = new Uint8Array(await subtle().exportKey('raw', pair.publicKey))
  return identityOf(pair.privateKey, publicKey)
}

/** The key pair that belongs to 32 secret bytes: the same each time. */
export async function identityFromSeed(seed: Uint8Array): Promise<Identity> {
  const pkcs8 = concat([pkcs8Prefix, seed])
  const key = await subtle().importKey('pkcs8', owned(pkcs8), 'Ed25519', true, ['sign'])
  const { x } = await subtle().exportKey('jwk', key)
  return identityOf(key, fromBase64Url(x ?? ''))
}

async function identityOf(key: CryptoKey, publicKey: Uint8Array): Promise<Identity> {
  return {
    peer: await peerIdOf(publicKey),
    publicKey,
    async sign(bytes) {
      return new Uint8Array(await subtle().sign('Ed25519', key, owned(bytes)))
    },
  }
}

/** The identity that a public key stands for. */
export async function peerIdOf(publicKey: Uint8Array): Promise<PeerId> {
  return toHex(await sha256(publicKey)).slice(0, 20) as PeerId
}

/** The keys that the holder of the room secret (32 bytes) has. */
export async function memberKeys(secret: Uint8Array): Promise<RoomKeys> {
  const room = await identityFromSeed(await derive(secret, 'shoal v1 room signature', 32))
  return {
    member: await derive(secret, 'shoal v1 member', 32),
    contributor: await derive(secret, 'shoal v1 contributor', 16),
    room,
    roomKeyHash: (await sha256(room.publicKey)).slice(0, 16),
  }
}

/** What a contributor's invite carries: its key, and what it needs to tell members from impostors. */
export function contributorInviteKey(keys: RoomKeys): Uint8Array {
  return concat([keys.contributor, keys.roomKeyHash])
}

/** The keys that the holder of a contributor's invite (32 bytes) has. */
export function contributorKeys(key: Uint8Array): RoomKeys {
  return { member: null, contributor: key.slice(0, 16), room: null, roomKeyHash: key.slice(16, 32) }
}

export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await subtle().digest('SHA-256', owned(bytes)))
}

export async function hmac(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  const imported = await importMac(key)
  return new Uint8Array(await subtle().sign('HMAC', imported, owned(bytes)))
}

/** Compares in constant time. */
export async function isMac(key: Uint8Array, mac: Uint8Array, bytes: Uint8Array): Promise<boolean> {
  return subtle().verify('HMAC', await importMac(key), owned(mac), owned(bytes))
}

/** `false` for a signature or a key that is wrong in any way. */
export async function isSignature(
  publicKey: Uint8Array,
  signature: Uint8Array,
  bytes: Uint8Array,
): Promise<boolean> {
  try {
    const key = await subtle().importKey('raw', owned(publicKey), 'Ed25519', true, ['verify'])
    return await subtle().verify('Ed25519', key, owned(signature), owned(bytes))
  } catch {
    return false
  }
}

/** Ed25519 points of small order (sign bit cleared): with them any signature may verify. */
const weakKeys: ReadonlySet<string> = new Set([
  `00${'00'.repeat(31)}`,
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
])

/** Whether a public key proves nothing. */
export function isWeakKey(publicKey: Uint8Array): boolean {
  if (publicKey.length !== 32) return true
  const plain = publicKey.slice()
  plain[31] = (plain[31] as number) & 0x7f
  return weakKeys.has(toHex(plain))
}

async function derive(secret: Uint8Array, label: string, length: number): Promise<Uint8Array> {
  const key = await subtle().importKey('raw', owned(secret), 'HKDF', false, ['deriveBits'])
  const parameters = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: encoder.encode(label) }
  return new Uint8Array(await subtle().deriveBits(parameters, key, length * 8))
}

function importMac(key: Uint8Array): Promise<CryptoKey> {
  return subtle().importKey('raw', owned(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify'])
}

function subtle(): SubtleCrypto {
  const found: SubtleCrypto | undefined = globalThis.crypto?.subtle
  if (found !== undefined) return found
  throw new ShoalError(
    'E_INSECURE_CONTEXT',
    'Cannot prove who this peer is as the page must come from https or from this computer: WebCrypto is missing',
  )
}

/** A view over a plain buffer of its own, as WebCrypto's types ask for. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

export function toBase64Url(bytes: Uint8Array): string {
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

/** @throws DOMException when the text is no base64url */
export function fromBase64Url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
}
