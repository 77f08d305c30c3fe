import {
  type Clock,
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
import { packBody } from './body.ts'
import type { Bulk } from './bulk.ts'
import {
  type AddressHint,
  type BulkTicket,
  emptyBody,
  type OperationText,
  writeOperation,
  writePeers,
  writePieceHead,
  writeTicket,
  writeWantedPiece,
} from './control.ts'
import { writeFlatCalls } from './flat-calls.ts'
import { type FrameType, frameHeaderBytes, frameTypes } from './frames.ts'
import { createIncoming, type Remote, type SessionHandlers } from './incoming.ts'
import type { Pipe } from './pipe.ts'

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

/** Calls back at the end of the turn: in Node cheaper than `queueMicrotask`, which makes a record each time. */
const turn = Promise.resolve()

/** Kinds of bodies that must arrive in the order sent, over whichever link. */
const orderedTypes: ReadonlySet<FrameType> = new Set([frameTypes.replica, frameTypes.services])

export function createSession(options: SessionOptions): Session {
  const { remote, pipe, bulk, clock } = options
  const incoming = createIncoming(options)
  const outgoing = createOutgoing(options)
  const outbox = createOutbox(options, outgoing)

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
  { send, sendFrame }: Outgoing,
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
    const first = services
    const second = messages
    if (first.length > 0) services = []
    if (second.length > 0) messages = []
    if (first.length !== 1 || !sendFlat(first[0] as Message)) sendAll(frameTypes.services, first)
    sendAll(frameTypes.messages, second)
  }

  /** Most messages about services are alone in their turn, and small. */
  function sendFlat(message: Message): boolean {
    const frame = message.type === 'service' ? writeFlatCalls(message) : null
    if (frame !== null) sendFrame(frameTypes.services, frame)
    return frame !== null
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
      void turn.then(flush)
    },
  }
}

interface Outgoing {
  send(type: FrameType, body: Uint8Array): void
  /** The same for a small frame that has room for its header: at once, if nothing is in its way. */
  sendFrame(type: FrameType, frame: Uint8Array): void
  pump(): void
}

/** Our queue in front of the link: what it cannot take at once waits here, never in the link. */
function createOutgoing(options: SessionOptions): Outgoing {
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

  return { pump, send, sendFrame }

  function sendFrame(type: FrameType, frame: Uint8Array): void {
    const isFree = first === queue.length && pipe.link.bufferedBytes < limits.controlBufferedBytesMax
    if (isFree && !bulk.isBusyWith(type)) pipe.sendFrame(type, frame)
    else send(type, frame.subarray(frameHeaderBytes))
  }

  function send(type: FrameType, body: Uint8Array): void {
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
