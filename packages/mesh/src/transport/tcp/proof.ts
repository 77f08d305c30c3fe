import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { LinkChannel } from '@shoal/scheduler'

/** What a line is for. */
export interface Purpose {
  readonly channel: LinkChannel
  /** Counts the control lines of a link; 0 for bulk. */
  readonly line: number
}

/** Names the key of a pair, and tells nothing of it. Both in hex. */
export interface Credentials {
  /** 16 bytes. */
  readonly id: string
  /** 32 bytes. */
  readonly key: string
}

/** The caller's side. */
export interface Call {
  readonly first: Uint8Array
  /** Gives the second message; `null`: that is not the door's proof. */
  onAnswer(answer: Uint8Array): Uint8Array | null
}

/** The door's side. */
export interface Reply {
  readonly answer: Uint8Array
  /** Gives what the line is for; `null`: that is not the caller's proof. */
  onProof(proof: Uint8Array): Purpose | null
}

/** Bytes of the longest message of a proof. */
export const proofBytesMax = 64

const idBytes = 16
const nonceBytes = 16
const macBytes = 32
const purposeBytes = 5

export function createCredentials(): Credentials {
  return { id: randomBytes(idBytes).toString('hex'), key: randomBytes(32).toString('hex') }
}

/** The key under which a line is encrypted. */
export function pskOf({ key }: Credentials): Buffer {
  return mac(key, 'tls', [])
}

/**
 * Both ends prove that they know the key: the caller says who it is, the door proves itself, the caller proves
 * itself and says what the line is for. Each proof covers both nonces.
 */
export function createCall({ id, key }: Credentials, { channel, line }: Purpose): Call {
  const first = Buffer.concat([Buffer.from(id, 'hex'), randomBytes(nonceBytes)])
  return {
    first,
    onAnswer(answer: Uint8Array): Buffer | null {
      if (answer.length !== nonceBytes + macBytes) return null
      const nonce = answer.subarray(0, nonceBytes)
      if (!timingSafeEqual(mac(key, 'door', [first, nonce]), answer.subarray(nonceBytes))) return null
      const purpose = Buffer.alloc(purposeBytes)
      purpose[0] = channel === 'bulk' ? 1 : 0
      purpose.writeUInt32BE(line, 1)
      return Buffer.concat([purpose, mac(key, 'caller', [first, nonce, purpose])])
    },
  }
}

/** The id that a call's first message names; `null`: that is no call. */
export function idOf(first: Uint8Array): string | null {
  if (first.length !== idBytes + nonceBytes) return null
  return Buffer.from(first.subarray(0, idBytes)).toString('hex')
}

export function createReply({ key }: Credentials, call: Uint8Array): Reply {
  const first = Buffer.from(call)
  const nonce = randomBytes(nonceBytes)
  return {
    answer: Buffer.concat([nonce, mac(key, 'door', [first, nonce])]),
    onProof(proof: Uint8Array): Purpose | null {
      if (proof.length !== purposeBytes + macBytes) return null
      const purpose = Buffer.from(proof.subarray(0, purposeBytes))
      const expected = mac(key, 'caller', [first, nonce, purpose])
      if (!timingSafeEqual(expected, proof.subarray(purposeBytes))) return null
      return { channel: purpose[0] === 1 ? 'bulk' : 'control', line: purpose.readUInt32BE(1) }
    },
  }
}

function mac(key: string, label: string, parts: readonly Uint8Array[]): Buffer {
  const hash = createHmac('sha256', Buffer.from(key, 'hex')).update(`shoal tcp v1 ${label}`)
  for (const part of parts) hash.update(part)
  return hash.digest()
}
