import { type PeerId, type PeerRole, ShoalError } from '@shoal/scheduler'
import { packBody, unpackBody } from '../wire/body.ts'
import { protocol } from '../wire/frames.ts'
import { asBytes, asPeerId, asRole, asText, asTuple, asUint, schemaError } from '../wire/validate.ts'

/** The first frame of each side. Everything in it is covered by the proofs that follow. */
export interface Hello {
  readonly protocolMin: number
  readonly protocolMax: number
  readonly build: string
  readonly role: PeerRole
  /** Claimed; has to be the hash of the public key. */
  readonly peer: PeerId
  readonly publicKey: Uint8Array
  /** 32 random bytes, used once. */
  readonly nonce: Uint8Array
  readonly epoch: number
}

/** The second frame of each side. */
export interface Proof {
  /** HMAC-SHA-256 with the key that both roles share, over the transcript. */
  readonly mac: Uint8Array
  /** Ed25519 of the peer's own key, over the same. */
  readonly signature: Uint8Array
  /** DTLS fingerprints as the sender sees them: the dialler's, the other's; `null` where a link has none. */
  readonly fingerprints: readonly [string, string] | null
  /** A member's word to a contributor: the room's public key and its signature over the same. */
  readonly room: { readonly publicKey: Uint8Array; readonly signature: Uint8Array } | null
}

/** Shown to other builds; part of the hello only so that logs of mixed rooms can be read. */
export const build = 'shoal/0.1.0'

export function writeHello(hello: Hello): Uint8Array {
  const { protocolMin, protocolMax, role, peer, publicKey, nonce, epoch } = hello
  return packBody([protocolMin, protocolMax, hello.build, role, peer, publicKey, nonce, epoch])
}

/**
 * @throws ShoalError `E_VERSION` before anything else is read, so that any later hello is told apart;
 *   `E_IDENTITY` for a key of the wrong length; `E_SCHEMA`, `E_DECODE`
 */
export function readHello(body: Uint8Array): Hello {
  const list = unpackBody(body)
  if (!Array.isArray(list) || list.length < 2) throw schemaError('a hello', 'a list', list)
  const protocolMin = asUint(list[0], 'the oldest version of a hello', 255)
  const protocolMax = asUint(list[1], 'the newest version of a hello', 255)
  if (protocolMin > protocol.max || protocolMax < protocol.min) {
    throw new ShoalError(
      'E_VERSION',
      `Cannot talk to a peer as it must speak protocol ${protocol.min} to ${protocol.max}: current value is ${protocolMin} to ${protocolMax}`,
    )
  }
  const [, , name, role, peer, publicKey, nonce, epoch] = asTuple(list, 8, 'a hello')
  const key = asBytes(publicKey, 'the public key of a hello')
  if (key.length !== 32)
    throw identityError(`its public key must have 32 bytes: current value is ${key.length}`)
  return {
    protocolMin,
    protocolMax,
    build: asText(name, 'the build of a hello', 64),
    role: asRole(role, 'the role of a hello'),
    peer: asPeerId(peer, 'the peer of a hello'),
    publicKey: key,
    nonce: asBytes(nonce, 'the nonce of a hello', 32),
    epoch: asUint(epoch, 'the epoch of a hello'),
  }
}

export function writeProof(proof: Proof): Uint8Array {
  const { mac, signature, fingerprints, room } = proof
  return packBody([mac, signature, fingerprints, room === null ? null : [room.publicKey, room.signature]])
}

export function readProof(body: Uint8Array): Proof {
  const [mac, signature, fingerprints, room] = asTuple(unpackBody(body), 4, 'a proof')
  const seen = fingerprints === null ? null : asTuple(fingerprints, 2, 'fingerprints')
  const vouched = room === null ? null : asTuple(room, 2, "a room's word")
  return {
    mac: asBytes(mac, 'the code of a proof', 32),
    signature: asBytes(signature, 'the signature of a proof', 64),
    fingerprints: seen && [asText(seen[0], 'a fingerprint', 256), asText(seen[1], 'a fingerprint', 256)],
    room: vouched && {
      publicKey: asBytes(vouched[0], "a room's key", 32),
      signature: asBytes(vouched[1], "a room's signature", 64),
    },
  }
}

export function identityError(reason: string): ShoalError {
  return new ShoalError('E_IDENTITY', `Cannot accept a peer as ${reason}`)
}
