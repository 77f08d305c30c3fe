import {
  type Clock,
  type CloseReason,
  type Message,
  type OperationHash,
  type PeerId,
  type PeerRole,
  ShoalError,
} from '@shoal/scheduler'
import type { Wanted } from '../chunks/wanted.ts'
import { limits } from '../limits.ts'
import { concat } from '../membership/bytes.ts'
import { packMessages } from './batch.ts'
import { packBody, unpackBody } from './body.ts'
import type { Bulk } from './bulk.ts'
import {
  type AddressHint,
  type BulkTicket,
  emptyBody,
  type OperationText,
  pieceHeaderBytes,
  readOperation,
  readPeers,
  readPiece,
  readProbe,
  readProbed,
  readRefused,
  readTicket,
  readTime,
  readWanted,
  readWantedPiece,
  writeOperation,
  writePeers,
  writePieceHead,
  writeTicket,
  writeWantedPiece,
} from './control.ts'
import { type FrameType, frameTypes } from './frames.ts'
import { readMessage } from './messages.ts'
import type { Pipe } from './pipe.ts'
import { schemaError } from './validate.ts'

/** Who is at the other end, as its hello proved. */
export interface Remote {
  readonly peer: PeerId
  readonly role: PeerRole
  readonly epoch: number
}

/** What a session tells. Nothing here may assume that the sender means well. */
export interface SessionHandlers {
  /** Any frame: a sign of life. */
  onLife(): void
  onMessages(messages: readonly Message[]): void
  onReplica(message: Uint8Array): void
  onRoundTrip(rttMs: number): void
  onProbe(peer: PeerId): void
  onProbed(peer: PeerId, isAlive: boolean): void
  onPeers(hints: readonly AddressHint[]): void
  onWanted(request: number, hash: OperationHash): void
  onOperation(request: number, text: OperationText | null): void
  onPieceWanted(wanted: Wanted, via: PeerId | null): void
  onPiece(request: number, bytes: Uint8Array | null): void
  /** The answer to a request came in part, and the rest never will. */
  onPieceLost(request: number): void
  onTicket(ticket: BulkTicket): void
  onRefusedBy(code: string, message: string, epoch: number | null): void
  onGoodbye(): void
  onClose(reason: CloseReason): void
  /** Something of ours could not be sent. */
  onUnsent(error: unknown): void
}

export interface SessionOptions {
  readonly remote: Remote
  readonly selfRole: PeerRole
  readonly pipe: Pipe
  readonly bulk: Bulk
  readonly clock: Clock
  readonly handlers: SessionHandlers
}

/** One authenticated control link, with the bulk links beside it. */
export interface Session {
  readonly remote: Remote
  readonly pipe: Pipe
  readonly bulk: Bulk
  /** Joined with what else this turn sends to the peer. */
  sendMessage(message: Message): void
  sendReplica(message: Uint8Array): void
  heartbeat(): void
  probe(peer: PeerId): void
  probed(peer: PeerId, isAlive: boolean): void
  sendPeers(hints: readonly AddressHint[]): void
  want(request: number, hash: OperationHash): void
  sendOperation(request: number, text: OperationText | null): void
  /** @param via the peer that has it, when this one is to pass it on */
  wantPiece(wanted: Wanted, via: PeerId | null): void
  /** Resolves when the bytes arrived, or never will. `null`: they are not here. */
  sendPiece(request: number, bytes: Uint8Array | null): Promise<void>
  sendTicket(ticket: BulkTicket): void
  /** Sends what this turn left, and a last word, past everything that still waits. */
  goodbye(): void
  tick(): void
  close(): void
}

/** No bytes at all. */
const emptyBytes = new Uint8Array(0)
/** How long a commit may wait for company: far below the time after which results are told again. */
const commitDelayMs = 20

/** What a contributor may say to a scheduler: it executes and asks, it never owns. */
const contributorTypes: ReadonlySet<Message['type']> = new Set([
  'profile',
  'results',
  'revoked',
  'holdings',
  'stale',
  'submit',
  'watch',
  'cancel',
  'service',
])

/** Kinds of bodies that must arrive in the order sent, over whichever link. */
const orderedTypes: ReadonlySet<FrameType> = new Set([frameTypes.replica, frameTypes.services])

export function createSession(options: SessionOptions): Session {
  const { remote, pipe, bulk, clock } = options
  const incoming = createIncoming(options)
  const outgoing = createOutgoing(options)
  const outbox = createOutbox(options, outgoing.send)

  // One turn later: a link that is closed already must not tell before this session is known.
  clock.defer(() =>
    pipe.onClose((reason) => {
      bulk.close()
      options.handlers.onClose(reason)
    }),
  )
  pipe.link.onDrain(outgoing.pump)
  pipe.setReader({
    bytesMax: limits.controlBytesMax,
    framesPerS: remote.role === 'member' ? limits.memberFramesPerS : limits.contributorFramesPerS,
    onFrame(type, body) {
      if (type === frameTypes.chunk || type === frameTypes.credit) bulk.onControlFrame(type, body)
      else incoming.onFrame(type, body)
    },
  })
  const now = (type: FrameType, body: Uint8Array): void => pipe.send(type, body)
  return {
    remote,
    pipe,
    bulk,
    sendMessage: outbox.add,
    sendReplica: (message) => outgoing.send(frameTypes.replica, message),
    heartbeat: () => now(frameTypes.heartbeat, packBody([clock.now()])),
    probe: (peer) => now(frameTypes.probe, packBody([peer])),
    probed: (peer, isAlive) => now(frameTypes.probed, packBody([peer, isAlive])),
    sendPeers: (hints) => now(frameTypes.peers, writePeers(hints)),
    want: (request, hash) => now(frameTypes.wanted, packBody([request, hash])),
    sendOperation: (request, text) => outgoing.send(frameTypes.operation, writeOperation(request, text)),
    wantPiece: (wanted, via) => now(frameTypes.pieceWanted, writeWantedPiece(wanted, via)),
    sendPiece: (request, bytes) =>
      new Promise((resolve) => {
        const head = writePieceHead(request, bytes !== null)
        if (bytes !== null && bytes.length > limits.bulkFromBytes) {
          bulk.sendLarge(frameTypes.piece, { head, rest: bytes }, resolve)
          return
        }
        outgoing.send(frameTypes.piece, concat([head, bytes ?? emptyBytes]))
        resolve()
      }),
    sendTicket: (ticket) => now(frameTypes.bulkOpen, writeTicket(ticket)),
    goodbye() {
      outbox.flush()
      outgoing.pump()
      now(frameTypes.goodbye, emptyBody)
    },
    tick() {
      outgoing.pump()
      bulk.tick()
    },
    close() {
      bulk.close()
      pipe.close()
    },
  }
}

/** Gathers what one turn says to a peer: one body, or as few as hold it. */
function createOutbox(
  { clock, handlers }: SessionOptions,
  send: (type: FrameType, body: Uint8Array) => void,
): { add(message: Message): void; flush(): void } {
  let messages: Message[] = []
  let services: Message[] = []
  let isFlushArmed = false
  let isLaterArmed = false

  /** Nobody waits for a commit: it rides with the next message, or goes alone a little later. */
  function flushLater(): void {
    if (isLaterArmed) return
    isLaterArmed = true
    clock.setTimer(clock.now() + commitDelayMs, () => {
      isLaterArmed = false
      if (messages.length > 0) flush()
    })
  }

  function flush(): void {
    isFlushArmed = false
    const [first, second] = [services, messages]
    services = []
    messages = []
    sendAll(frameTypes.services, first)
    sendAll(frameTypes.messages, second)
  }

  function sendAll(type: FrameType, list: readonly Message[]): void {
    if (list.length === 0) return
    const bodies = packMessages(list, (_message, error) => handlers.onUnsent(error))
    for (const body of bodies) send(type, body)
  }

  return {
    flush,
    add(message) {
      if (message.type === 'service') services.push(message)
      else messages.push(message)
      if (isFlushArmed) return
      if (message.type === 'commit') {
        flushLater()
        return
      }
      isFlushArmed = true
      queueMicrotask(flush)
    },
  }
}

/** Reads frames of the control link and whole bodies of the bulk links. */
export interface Incoming {
  onFrame(type: FrameType, body: Uint8Array): void
  /** A body of which this came is given up. */
  onLost(type: FrameType, start: Uint8Array): void
}

/** What arrives from one peer, checked. Exported for the bulk link, which delivers the same kinds. */
export function createIncoming(options: {
  readonly remote: Remote
  readonly selfRole: PeerRole
  readonly clock: Clock
  readonly pipe: Pipe
  readonly handlers: SessionHandlers
}): Incoming {
  const { remote, handlers, clock, pipe } = options

  function onMessages(body: Uint8Array): void {
    const list = unpackBody(body)
    if (!Array.isArray(list)) throw schemaError('messages', 'a list', list)
    const messages: Message[] = []
    for (const item of list) {
      try {
        const message = readMessage(item, remote.peer)
        if (remote.role === 'contributor' && !mayContributorSay(message))
          throw forbidden(message.type, remote)
        messages.push(message)
      } catch (error) {
        pipe.refuse(error)
      }
    }
    if (messages.length > 0) handlers.onMessages(messages)
  }

  function onFrame(type: FrameType, body: Uint8Array): void {
    handlers.onLife()
    switch (type) {
      case frameTypes.messages:
      case frameTypes.services:
        return onMessages(body)
      case frameTypes.replica:
        if (remote.role !== 'member' || options.selfRole !== 'member') throw forbidden('replica', remote)
        return handlers.onReplica(body)
      case frameTypes.heartbeat:
        readTime(body)
        return pipe.send(frameTypes.heard, body)
      case frameTypes.heard:
        return handlers.onRoundTrip(Math.max(0, clock.now() - readTime(body)))
      case frameTypes.probe:
        return handlers.onProbe(readProbe(body))
      case frameTypes.probed: {
        const { peer, isAlive } = readProbed(body)
        return handlers.onProbed(peer, isAlive)
      }
      case frameTypes.peers:
        return handlers.onPeers(readPeers(body))
      case frameTypes.wanted: {
        const { request, hash } = readWanted(body)
        return handlers.onWanted(request, hash)
      }
      case frameTypes.operation: {
        const { request, text } = readOperation(body)
        return handlers.onOperation(request, text)
      }
      case frameTypes.pieceWanted: {
        const { wanted, via } = readWantedPiece(body)
        return handlers.onPieceWanted(wanted, via)
      }
      case frameTypes.piece: {
        const { request, bytes } = readPiece(body)
        return handlers.onPiece(request, bytes)
      }
      case frameTypes.bulkOpen:
        return handlers.onTicket(readTicket(body))
      case frameTypes.refused: {
        const { code, message, epoch } = readRefused(body)
        return handlers.onRefusedBy(code, message, epoch)
      }
      case frameTypes.goodbye:
        return handlers.onGoodbye()
      default:
        throw new ShoalError(
          'E_TYPE',
          `Cannot read a frame as its type has no place here: current value is ${type}`,
        )
    }
  }
  return {
    onFrame,
    onLost(type, start) {
      // All others are told again by whoever misses them.
      if (type === frameTypes.piece && start.length >= pieceHeaderBytes)
        handlers.onPieceLost(readPiece(start).request)
    },
  }
}

/** Our queue in front of the link: what it cannot take at once waits here, never in the link. */
function createOutgoing(options: SessionOptions): {
  send(type: FrameType, body: Uint8Array): void
  pump(): void
} {
  const { pipe, bulk, handlers } = options
  const queue: { readonly type: FrameType; readonly body: Uint8Array }[] = []
  let first = 0
  let queuedBytes = 0

  function pump(): void {
    while (first < queue.length && pipe.link.bufferedBytes < limits.controlBufferedBytesMax) {
      const { type, body } = queue[first++] as (typeof queue)[number]
      queuedBytes -= body.length
      pipe.send(type, body)
    }
    if (first === queue.length || first > 1024) {
      queue.splice(0, first)
      first = 0
    }
  }

  function isQueued(type: FrameType): boolean {
    for (let at = first; at < queue.length; at++) if (queue[at]?.type === type) return true
    return false
  }

  return {
    pump,
    send(type, body) {
      if (body.length > limits.messageBytesMax) {
        const text = `Cannot send a message as its size in bytes must be at most ${limits.messageBytesMax}: current value is ${body.length}`
        return handlers.onUnsent(new ShoalError('E_TOO_LARGE', text))
      }
      // Some need order: once a large one is on its way, the small ones after it follow it there.
      const isOrdered = orderedTypes.has(type)
      const mustFollow = isOrdered && bulk.isBusyWith(type)
      if (body.length > limits.bulkFromBytes || mustFollow) {
        if (isOrdered && isQueued(type)) drainTo(bulk, type)
        return bulk.send(type, body)
      }
      queue.push({ type, body })
      queuedBytes += body.length
      pump()
      if (queuedBytes <= limits.controlQueuedBytesMax) return
      const text = `Cannot keep up with a peer as what waits for it must be at most ${limits.controlQueuedBytesMax} bytes: current value is ${queuedBytes}`
      pipe.end(new ShoalError('E_LIMIT', text))
    },
  }

  /** Moves those of one kind that still wait over to the bulk link, in front of a large one. */
  function drainTo(target: Bulk, type: FrameType): void {
    for (let at = first; at < queue.length; at++) {
      const entry = queue[at] as (typeof queue)[number]
      if (entry.type !== type) continue
      target.send(entry.type, entry.body)
      queuedBytes -= entry.body.length
      queue.splice(at--, 1)
    }
  }
}

/** A contributor's bodies may call services, and it asks where they are; it never hosts, votes or keeps copies. */
function mayContributorSay(message: Message): boolean {
  if (message.type !== 'service') return contributorTypes.has(message.type)
  return message.body.type === 'call' || message.body.type === 'unknown'
}

function forbidden(what: string, remote: Remote): ShoalError {
  return new ShoalError(
    'E_FORBIDDEN',
    `Cannot accept "${what}" from ${remote.peer} as its sender must be a member: current value is ${remote.role}`,
  )
}
