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
import { unpackBody } from './body.ts'
import {
  type AddressHint,
  type BulkTicket,
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
} from './control.ts'
import { readFlatCalls } from './flat-calls.ts'
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

export interface IncomingOptions {
  readonly remote: Remote
  readonly selfRole: PeerRole
  readonly clock: Clock
  readonly pipe: Pipe
  readonly handlers: SessionHandlers
}

/** Reads frames of the control link and whole bodies of the bulk links. */
export interface Incoming {
  onFrame(type: FrameType, body: Uint8Array): void
  /** A body of which this came is given up. */
  onLost(type: FrameType, start: Uint8Array): void
}

/** What arrives from one peer, checked. Exported for the bulk link, which delivers the same kinds. */
export function createIncoming(options: IncomingOptions): Incoming {
  const { remote, handlers, clock, pipe } = options

  const read = createMessageReader(options)

  function onFrame(type: FrameType, body: Uint8Array): void {
    handlers.onLife()
    switch (type) {
      case frameTypes.services:
        return read.services(body)
      case frameTypes.messages:
        return read.messages(body)
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

/** Reads scheduler messages. */
function createMessageReader({ remote, handlers, pipe }: IncomingOptions): {
  messages(body: Uint8Array): void
  services(body: Uint8Array): void
} {
  function services(body: Uint8Array): void {
    const message = readFlatCalls(body)
    if (message === null) return messages(body)
    if (remote.role === 'contributor' && !mayContributorSay(message)) throw forbidden(message.type, remote)
    handlers.onMessages([message])
  }

  function messages(body: Uint8Array): void {
    const list = unpackBody(body)
    if (!Array.isArray(list)) throw schemaError('messages', 'a list', list)
    const found: Message[] = []
    for (const item of list) {
      try {
        const message = readMessage(item, remote.peer)
        if (remote.role === 'contributor' && !mayContributorSay(message))
          throw forbidden(message.type, remote)
        found.push(message)
      } catch (error) {
        pipe.refuse(error)
      }
    }
    if (found.length > 0) handlers.onMessages(found)
  }
  return { messages, services }
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
