import type { DataConnection, Peer } from 'peerjs'
import { roomOf } from './address.ts'
import { ADDRESSES_MAX, CANDIDATE_CHARS_MAX, CONNECTIONS_PER_ADDRESS_MAX, SDP_CHARS_MAX } from './limits.ts'
import type { OnRefused } from './peerjs.types.ts'

/** What the signalling server pushes besides PeerJS' own messages. Clients cannot send these types. */
export const HINT_SEEN = 'SHOAL-SEEN'
export const HINT_GONE = 'SHOAL-GONE'

/** The part of PeerJS 1.5.5 that it does not document: the reason for its exact version. */
interface SignalSocket {
  listeners(event: 'message'): readonly ((message: unknown) => void)[]
  removeAllListeners(event: 'message'): void
  on(event: 'message', listener: (message: unknown) => void): void
}

interface SignalHandlers {
  readonly room: string
  onSeen(address: string): void
  onGone(address: string): void
  /** The server knows nobody at this address. */
  onUnavailable(address: string): void
  readonly onRefused: OnRefused
}

/** Every field that is read from what others sent; none is known to be there. */
interface Fields {
  readonly type?: unknown
  readonly src?: unknown
  readonly payload?: unknown
  readonly serialization?: unknown
  readonly label?: unknown
  readonly connectionId?: unknown
  readonly sdp?: unknown
  readonly candidate?: unknown
  readonly sdpMid?: unknown
}

/**
 * Stands between the signalling socket and PeerJS: takes out the hints, and lets only those messages of
 * other clients through that PeerJS survives. Unguarded, an offer of an unknown serialisation throws in
 * the socket's handler, a malformed answer ends a Node process, and strays are kept for ever.
 */
export function guardSignals(peer: Peer, handlers: SignalHandlers): void {
  const socket = (peer as unknown as { readonly socket: SignalSocket }).socket
  const forwards = [...socket.listeners('message')]
  socket.removeAllListeners('message')
  socket.on('message', (message) => {
    if (!isFields(message)) return
    const from = typeof message.src === 'string' ? message.src : ''
    try {
      handle(peer, message, from, handlers, () => {
        for (const forward of forwards) forward(message)
      })
    } catch (error) {
      handlers.onRefused('E_SIGNAL', `Cannot handle a signalling message: ${String(error)}`, from)
    }
  })
}

function handle(
  peer: Peer,
  message: Fields,
  from: string,
  handlers: SignalHandlers,
  forward: () => void,
): void {
  const { type, payload } = message
  if (type === 'OPEN' || type === 'ERROR' || type === 'ID-TAKEN' || type === 'INVALID-KEY') forward()
  else if (type === HINT_SEEN) eachAddress(payload, handlers.room, handlers.onSeen)
  else if (type === HINT_GONE) eachAddress(payload, handlers.room, handlers.onGone)
  else if (type === 'EXPIRE') handlers.onUnavailable(from)
  // Signalling that went away says nothing about the links: PeerJS would close them.
  else if (type === 'LEAVE') handlers.onGone(from)
  else if (type === 'OFFER') {
    const problem = roomOf(from) === handlers.room ? offerProblem(peer, payload, from) : 'foreign room'
    if (problem === null) forward()
    else refuse(handlers, from, problem)
  } else if (type === 'ANSWER' || type === 'CANDIDATE') {
    if (!isFields(payload) || !isReply(type, payload)) refuse(handlers, from, 'malformed reply')
    else takeReply(peer.getConnection(from, String(payload.connectionId)) as DataConnection | null, message)
  }
}

/** Late candidates of a closed connection are normal; PeerJS would keep them for ever. */
function takeReply(connection: DataConnection | null, message: Fields): void {
  if (connection?.peerConnection) connection.handleMessage(message as never).catch(() => {})
}

function refuse(handlers: SignalHandlers, from: string, reason: string): void {
  handlers.onRefused('E_SIGNAL', `Cannot take a signalling message: ${reason}`, from)
}

function offerProblem(peer: Peer, payload: unknown, from: string): string | null {
  if (!isFields(payload)) return 'malformed offer'
  const { type, serialization, label, connectionId, sdp } = payload
  if (type !== 'data') return 'not a data connection'
  // Other serialisations let a remote crash the receiver.
  if (serialization !== 'raw') return 'serialization is not raw'
  if (label !== 'control' && label !== 'bulk') return 'unknown channel'
  if (typeof connectionId !== 'string' || connectionId.length > 64) return 'malformed connection id'
  if (!isDescription(sdp, 'offer')) return 'malformed description'
  if (peer.getConnection(from, connectionId) !== null) return 'connection id in use'
  const open =
    (peer.connections as Readonly<Record<string, readonly unknown[] | undefined>>)[from]?.length ?? 0
  return open >= CONNECTIONS_PER_ADDRESS_MAX ? `already ${open} connections` : null
}

function isReply(type: unknown, payload: Fields): boolean {
  if (typeof payload.connectionId !== 'string' || payload.connectionId.length > 64) return false
  return type === 'ANSWER' ? isDescription(payload.sdp, 'answer') : isCandidate(payload.candidate)
}

function isDescription(sdp: unknown, type: 'offer' | 'answer'): boolean {
  if (!isFields(sdp) || sdp.type !== type) return false
  return typeof sdp.sdp === 'string' && sdp.sdp.length <= SDP_CHARS_MAX
}

function isCandidate(candidate: unknown): boolean {
  if (!isFields(candidate)) return false
  const { candidate: line, sdpMid } = candidate
  if (typeof line !== 'string' || line.length > CANDIDATE_CHARS_MAX) return false
  return sdpMid === undefined || sdpMid === null || (typeof sdpMid === 'string' && sdpMid.length <= 16)
}

/** Calls back for each address of `room` in `addresses`; skips whatever else is in there. */
export function eachAddress(addresses: unknown, room: string, callback: (address: string) => void): void {
  if (!Array.isArray(addresses)) return
  for (const address of addresses.slice(0, ADDRESSES_MAX) as unknown[]) {
    if (typeof address === 'string' && roomOf(address) === room) callback(address)
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
