import { connect, createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, TLSSocket, connect as tlsConnect } from 'node:tls'
import { LINE_PROOF_TIMEOUT_MS, LINE_STRANGERS_MAX } from '../limits.ts'
import type { OnRefused } from '../peerjs.types.ts'
import { hostsOf, isLoopback, type Offer } from './offer.ts'
import {
  type Credentials,
  createCall,
  createReply,
  idOf,
  type Purpose,
  proofBytesMax,
  pskOf,
  type Reply,
} from './proof.ts'
import { createStream, kinds, type Stream, type StreamReader } from './stream.ts'

/** A line whose ends have proved themselves; its taker sets a reader. */
export interface Proven extends Purpose {
  readonly stream: Stream
}

/** Whom a door lets in. */
export interface Guest extends Credentials {
  onLine(proven: Proven): void
}

/** Where other Node peers call. */
export interface Door {
  /** Under which addresses others find it. */
  readonly hosts: readonly string[]
  readonly port: number
  admit(guest: Guest): void
  dismiss(id: string): void
  close(): void
}

const tlsOptions = {
  // The key comes over an encrypted link and dies with it: no exchange of keys could add to that.
  ciphers: 'PSK-AES128-GCM-SHA256',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const

/**
 * Listens on `host`. Beyond this machine lines are TLS; on loopback they are not encrypted, as who can listen
 * in there can read this process, too. Either way both ends prove that they know the guest's key.
 * @throws what the platform says when the address cannot be had
 */
export async function openDoor(host: string, onRefused: OnRefused): Promise<Door> {
  const guests = new Map<string, Guest>()
  const strangers = new Set<Socket>()
  const secure = isLoopback(host) ? null : createSecureContext(tlsOptions)
  const pskCallback = (_socket: TLSSocket, id: string): Buffer | null => {
    const guest = guests.get(id)
    return guest === undefined ? null : pskOf(guest)
  }
  const server = createServer((raw) => {
    raw.on('error', () => {})
    if (strangers.size >= LINE_STRANGERS_MAX) {
      raw.destroy()
      return
    }
    strangers.add(raw)
    const socket =
      secure === null
        ? raw
        : new TLSSocket(raw, { isServer: true, secureContext: secure, ...{ pskCallback } })
    const refuse = (code: string, reason: string): void => {
      if (!strangers.has(raw)) return
      onRefused(code, `Cannot take a line as ${reason}`, raw.remoteAddress ?? 'a closed socket')
      raw.destroy()
    }
    const timer = setTimeout(
      () => refuse('E_HELLO_TIMEOUT', `it must prove itself within ${LINE_PROOF_TIMEOUT_MS} ms: it did not`),
      LINE_PROOF_TIMEOUT_MS,
    )
    const settle = (): void => {
      clearTimeout(timer)
      strangers.delete(raw)
    }
    raw.once('close', settle)
    greet(socket, guests, refuse, settle)
  })
  const port = await listen(server, host)
  return {
    hosts: hostsOf(host),
    port,
    admit: (guest) => guests.set(guest.id, guest),
    dismiss: (id) => guests.delete(id),
    close() {
      guests.clear()
      server.close()
      for (const socket of strangers) socket.destroy()
    },
  }
}

/** Waits for the proof of who called. */
function greet(
  socket: Socket,
  guests: ReadonlyMap<string, Guest>,
  refuse: (code: string, reason: string) => void,
  settle: () => void,
): void {
  let guest: Guest | undefined
  let reply: Reply | null = null
  const stream = createStream(socket, {
    bytesMax: proofBytesMax,
    onMessage(kind, body) {
      if (kind !== kinds.hello) return refuse('E_AUTH_REQUIRED', 'its caller must prove itself first')
      if (guest === undefined || reply === null) {
        guest = guests.get(idOf(body) ?? '')
        if (guest === undefined) return refuse('E_AUTH', 'its caller must be expected: nobody is by that id')
        reply = createReply(guest, body)
        stream.send(kinds.hello, reply.answer)
        return
      }
      const purpose = reply.onProof(body)
      if (purpose === null) return refuse('E_AUTH', "its caller's proof of the key must be right: it is not")
      settle()
      guest.onLine({ stream, ...purpose })
    },
    onDrain() {},
    onGone: () => {},
  })
}

/**
 * Calls the first of the offer's hosts that answers and proves itself.
 * @throws Error when none does in time
 */
export async function callDoor(offer: Offer, purpose: Purpose, timeoutMs: number): Promise<Stream> {
  let reason: unknown = new Error('it listens nowhere')
  for (const host of offer.hosts) {
    try {
      return await callHost(host, offer, purpose, timeoutMs)
    } catch (error) {
      reason = error
    }
  }
  throw reason
}

function callHost(host: string, offer: Offer, purpose: Purpose, timeoutMs: number): Promise<Stream> {
  const { id, port } = offer
  const socket = isLoopback(host)
    ? connect({ host, port })
    : tlsConnect({
        host,
        port,
        ...tlsOptions,
        pskCallback: () => ({ psk: pskOf(offer), identity: id }),
        // There are no certificates: the key is the identity.
        checkServerIdentity: () => undefined,
      })
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(new Error(`${host}:${port}: ${reason}`))
    }
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    const call = createCall(offer, purpose)
    const reader: StreamReader = {
      bytesMax: proofBytesMax,
      onMessage(kind, body) {
        const proof = kind === kinds.hello ? call.onAnswer(body) : null
        if (proof === null) return fail('who answers there does not know the key')
        clearTimeout(timer)
        stream.send(kinds.hello, proof)
        // Its taker comes a microtask later.
        stream.pause()
        resolve(stream)
      },
      onDrain() {},
      onGone: fail,
    }
    const stream = createStream(socket, reader)
    stream.send(kinds.hello, call.first)
  })
}

function listen(server: Server, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: 0 }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      const place = server.address()
      resolve(typeof place === 'object' && place !== null ? place.port : 0)
    })
  })
}
