import { WebSocket } from 'ws'
import { roomOf } from '../transport/address.ts'
import { HINT_GONE, HINT_SEEN } from '../transport/peerjs.signals.ts'
import type { SignallingLimits } from './limits.ts'

/** The message types that clients may send; all others are the server's own. */
const RELAYED_TYPES: ReadonlySet<unknown> = new Set(['OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'EXPIRE'])

/** A socket whose messages pass a check before anybody sees them. */
export class GuardedSocket extends WebSocket {
  admit: ((data: unknown) => boolean) | null = null

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event === 'message' && this.admit !== null && !this.admit(values[0])) return true
    return super.emit(event, ...values)
  }
}

/** Who is registered in which room, and what they may send. */
export interface Clients {
  /** Takes a socket over before the PeerJS server does. */
  register(socket: GuardedSocket, address: string, token: string): void
  addresses(room: string): readonly string[]
}

interface Signal {
  readonly type?: unknown
  readonly dst?: unknown
}

interface Client {
  readonly socket: GuardedSocket
  readonly token: string
}

export function createClients(
  limits: SignallingLimits,
  onRefused: (code: string, from: string) => void,
): Clients {
  const rooms = new Map<string, Map<string, Client>>()
  const push = (socket: WebSocket, type: string, payload: unknown): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type, payload }))
  }
  const tellOthers = (clients: Map<string, Client>, type: string, address: string): void => {
    for (const [other, { socket }] of clients) if (other !== address) push(socket, type, [address])
  }
  const leave = (room: string, address: string, socket: GuardedSocket): void => {
    const clients = rooms.get(room)
    if (clients?.get(address)?.socket !== socket) return
    clients.delete(address)
    if (clients.size === 0) rooms.delete(room)
    else tellOthers(clients, HINT_GONE, address)
  }
  /** `false` drops the message. */
  const admit = (client: Client, room: string, address: string, data: unknown): boolean => {
    const message = parse(data)
    if (message?.type === 'HEARTBEAT') return true
    const to = message?.dst
    if (message === null || !RELAYED_TYPES.has(message.type) || typeof to !== 'string') {
      onRefused('E_SIGNAL', address)
      return false
    }
    if (rooms.get(room)?.has(to)) return true
    // The PeerJS server would queue it without a bound, and tell the sender only seconds later.
    client.socket.send(JSON.stringify({ type: 'EXPIRE', src: to, dst: address }))
    return false
  }
  return {
    addresses: (room) => [...(rooms.get(room)?.keys() ?? [])],
    register(socket, address, token) {
      const room = roomOf(address) ?? ''
      const clients = rooms.get(room) ?? new Map<string, Client>()
      const older = clients.get(address)
      // The PeerJS server tells a socket with another token that the address is taken.
      if (older !== undefined && older.token !== token) return
      const client = { socket, token }
      const takes = createBucket(limits)
      socket.admit = (data) => {
        if (takes()) return admit(client, room, address, data)
        onRefused('E_RATE', address)
        socket.close(1008, 'too many messages')
        return false
      }
      rooms.set(room, clients.set(address, client))
      socket.on('close', () => leave(room, address, socket))
      // After the PeerJS server has taken the socket over.
      queueMicrotask(() => {
        // It says nothing to a client that comes back before its old socket is gone.
        if (older !== undefined) push(socket, 'OPEN', undefined)
        older?.socket.terminate()
        push(
          socket,
          HINT_SEEN,
          [...clients.keys()].filter((other) => other !== address),
        )
        tellOthers(clients, HINT_SEEN, address)
      })
    },
  }
}

/** A token bucket: whether one more message is within the rate. */
function createBucket(limits: SignallingLimits): () => boolean {
  let tokens = limits.messagesBurst
  let at = performance.now()
  return () => {
    const now = performance.now()
    tokens = Math.min(limits.messagesBurst, tokens + ((now - at) / 1000) * limits.messagesPerSecond)
    at = now
    if (tokens < 1) return false
    tokens -= 1
    return true
  }
}

function parse(data: unknown): Signal | null {
  try {
    const message: unknown = JSON.parse(String(data))
    return typeof message === 'object' && message !== null ? message : null
  } catch {
    return null
  }
}
