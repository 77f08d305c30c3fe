import { type PeerRole, ShoalError } from '@shoal/scheduler'
import { fromBase64Url, toBase64Url } from './membership/bytes.ts'
import { contributorInviteKey, contributorKeys, memberKeys, type RoomKeys } from './membership/crypto.ts'
import type { Invite } from './room.types.ts'

/** Both links to a room: the first lets its holder use the room, the second only lend to it. */
export interface RoomInvites {
  readonly member: Invite
  readonly contributor: Invite
}

/**
 * Makes the invites of a room. The same secret gives the same invites.
 * @param options.url where the room's signalling server and page are, for example `http://192.168.1.7:7420`
 * @param options.room public name: letters and digits with single dashes; default 20 random hex digits
 * @param options.secret 32 bytes; default random
 * @throws ShoalError `E_INVITE` when one of them is not as described
 */
export async function createInvite(options: {
  readonly url: string
  readonly room?: string
  readonly secret?: Uint8Array
}): Promise<RoomInvites> {
  const secret = options.secret ?? crypto.getRandomValues(new Uint8Array(32))
  const room = options.room ?? randomRoom()
  const { url } = parseInvite(formatInvite({ url: options.url, room, role: 'member', key: secret }))
  const key = contributorInviteKey(await memberKeys(secret))
  return {
    member: { url, room, role: 'member', key: secret },
    contributor: { url, room, role: 'contributor', key },
  }
}

/** The link that people share. The key stays in the fragment: browsers never send it to a server. */
export function formatInvite(invite: Invite): string {
  const { room, role, key } = invite
  return `${invite.url.replace(/\/+$/, '')}/#room=${encodeURIComponent(room)}&role=${role}&k=${toBase64Url(key)}`
}

/**
 * Takes an invite link apart.
 * @throws ShoalError `E_INVITE`; the message says what is missing and never shows the key
 */
export function parseInvite(text: string): Invite {
  const url = readUrl(text.trim())
  const parts = new URLSearchParams(url.hash.replace(/^#/, ''))
  const room = parts.get('room') ?? ''
  if (!/^[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*$/.test(room) || room.length > 64) {
    throw inviteError(
      '"room" must be 1 to 64 letters and digits with single dashes',
      room === '' ? 'none' : `"${room}"`,
    )
  }
  const role = readRole(parts.get('role'))
  return { url: `${url.origin}${url.pathname.replace(/\/+$/, '')}`, room, role, key: readKey(parts.get('k')) }
}

/** The keys that an invite gives. */
export async function keysOf(invite: Invite): Promise<RoomKeys> {
  return invite.role === 'member' ? memberKeys(invite.key) : contributorKeys(invite.key)
}

function readUrl(text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw inviteError(
      'it must be a whole link, from http:// to its last character',
      text === '' ? 'empty' : 'no link',
    )
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw inviteError('it must begin with http:// or https://', `"${url.protocol}"`)
  }
  if (url.hash === '') throw inviteError('the part after # must be copied with it', 'none')
  return url
}

function readRole(role: string | null): PeerRole {
  if (role === 'member' || role === 'contributor') return role
  throw inviteError('"role" must be member or contributor', role === null ? 'none' : `"${role}"`)
}

function readKey(text: string | null): Uint8Array {
  if (text === null || text === '') throw inviteError('"k" must be there', 'none')
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) {
    throw inviteError(
      '"k" must be 43 characters of base64url; the link may have been cut',
      `${text.length} characters`,
    )
  }
  return fromBase64Url(text)
}

function inviteError(wanted: string, actual: string): ShoalError {
  return new ShoalError('E_INVITE', `Cannot read the invite as ${wanted}: current value is ${actual}`)
}

function randomRoom(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('')
}
