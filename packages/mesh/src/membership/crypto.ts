import type { PeerId } from '@shoal/scheduler'
import { concat, equalBytes, toHex } from './bytes.ts'
import { cryptoSuite, type KeyPair } from './suite.ts'

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

/** A fresh key pair. */
export async function createIdentity(): Promise<Identity> {
  return identityOf(await (await cryptoSuite()).keyPair(null))
}

/** The key pair that belongs to 32 secret bytes: the same each time. */
export async function identityFromSeed(seed: Uint8Array): Promise<Identity> {
  return identityOf(await (await cryptoSuite()).keyPair(seed))
}

async function identityOf({ publicKey, sign }: KeyPair): Promise<Identity> {
  return { peer: await peerIdOf(publicKey), publicKey, sign }
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
  return (await cryptoSuite()).sha256(bytes)
}

/** HMAC-SHA-256. */
export async function hmac(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  return (await cryptoSuite()).hmac(key, bytes)
}

export async function isMac(key: Uint8Array, mac: Uint8Array, bytes: Uint8Array): Promise<boolean> {
  return equalBytes(await hmac(key, bytes), mac)
}

/** `false` for a signature or a key that is wrong in any way. */
export async function isSignature(
  publicKey: Uint8Array,
  signature: Uint8Array,
  bytes: Uint8Array,
): Promise<boolean> {
  return (await cryptoSuite()).verify(publicKey, signature, bytes)
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
  return (await cryptoSuite()).hkdf(secret, label, length)
}
