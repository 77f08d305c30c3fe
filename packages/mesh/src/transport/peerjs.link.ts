import type { CloseReason, Link, LinkChannel } from '@shoal/scheduler'
import type { DataConnection } from 'peerjs'
import { DRAIN_POLL_MS, LINGER_MS, LOW_WATERMARK_BYTES, MESSAGE_BYTES_MAX } from './limits.ts'
import { dialError, tooLarge } from './link.errors.ts'
import type { LinkEvents } from './listeners.ts'
import { createLinkEvents } from './listeners.ts'
import type { Base, OnRefused } from './peerjs.types.ts'

/** The last message of a link that is closed politely; text, as messages are binary. */
const goodbye = 'bye'

/** A connection on its way to a link. */
export interface PendingLink {
  readonly remoteAddress: string
  readonly channel: LinkChannel
  /** Rejects with `E_DIAL`. */
  readonly opened: Promise<Base>
  fail(reason: string): void
  /** Closes now, without waiting for what is queued. */
  hangUp(): void
  /** Settled when the native connection is closed. */
  readonly gone: Promise<void>
}

/** Follows `connection` from its first moment, so that no message is missed, and makes a link of it. */
export function followConnection(
  connection: DataConnection,
  channel: LinkChannel,
  timeoutMs: number,
  onRefused: OnRefused,
): PendingLink {
  const remoteAddress = connection.peer
  const events = createLinkEvents((error) =>
    onRefused('E_INVARIANT', `Cannot handle a link event: ${String(error)}`, remoteAddress),
  )
  const native = connection.peerConnection
  const gone = settled()
  const opening = settled<Base>()
  let onText: ((text: string) => void) | null = null
  let isOpen = false
  let isLost = false
  // Handled by whoever waits; nobody may.
  opening.promise.catch(() => {})

  const hangUp = (): void => {
    try {
      connection.close()
    } catch {
      // It is gone either way.
    }
    gone.resolve()
  }
  const end = (reason: CloseReason): void => {
    clearTimeout(timer)
    if (!isOpen) opening.reject(dialError(remoteAddress, channel, reason))
    events.close(reason)
    hangUp()
  }
  const timer = setTimeout(() => pending.fail(`it did not open within ${timeoutMs} ms`), timeoutMs)
  const pending: PendingLink = {
    remoteAddress,
    channel,
    opened: opening.promise,
    gone: gone.promise,
    hangUp,
    fail(reason) {
      if (isOpen) return
      opening.reject(dialError(remoteAddress, channel, reason))
      end('lost')
    },
  }
  connection.on('data', (data) => {
    if (data === goodbye) return end('bye')
    if (typeof data === 'string' && onText !== null) return onText(data)
    const message = asBytes(data)
    if (message === null)
      return onRefused(
        'E_FRAME',
        'Cannot read a message as it must be binary: current value is text',
        remoteAddress,
      )
    if (!events.deliver(message)) end('protocol')
  })
  // Without a goodbye a guess: WebRTC that gives up on a killed peer, after half a minute, can look like one.
  connection.on('close', () => end(isLost ? 'lost' : 'bye'))
  connection.on('error', (error) => (isOpen ? undefined : pending.fail(error.message)))
  // PeerJS acts on the ICE state alone; some stacks only ever move the connection state to "failed".
  const watch = (): void => {
    if (native.connectionState === 'failed' || native.iceConnectionState === 'failed') end('lost')
    else
      isLost = native.connectionState === 'disconnected' || (isLost && native.connectionState !== 'connected')
  }
  native.addEventListener('connectionstatechange', watch)
  native.addEventListener('iceconnectionstatechange', watch)
  let isPresented = false
  // A channel may be open before the browser shows the answer that opened it: without both descriptions
  // the link would look as if it had no certificates to bind to. What arrives meanwhile is kept.
  const present = (): void => {
    if (isPresented || native.localDescription === null || native.remoteDescription === null) return
    isPresented = true
    clearTimeout(timer)
    isOpen = true
    // A second data channel would take the place of the first inside PeerJS.
    native.ondatachannel = (event) => event.channel.close()
    opening.resolve(createLink(connection, channel, events, end, hangUp, (listener) => (onText = listener)))
  }
  connection.on('open', () => {
    native.addEventListener('signalingstatechange', present)
    present()
  })
  return pending
}

function createLink(
  connection: DataConnection,
  channel: LinkChannel,
  events: LinkEvents,
  end: (reason: CloseReason) => void,
  hangUp: () => void,
  onText: Base['onText'],
): Base {
  const data = connection.dataChannel
  const binding = fingerprints(connection.peerConnection)
  const queued = (): number => (data.readyState === 'open' ? data.bufferedAmount : 0)
  let poll: ReturnType<typeof setInterval> | undefined
  const checkDrain = (): void => {
    if (poll === undefined || queued() > LOW_WATERMARK_BYTES) return
    clearInterval(poll)
    poll = undefined
    events.drained()
  }
  data.bufferedAmountLowThreshold = LOW_WATERMARK_BYTES
  data.addEventListener('bufferedamountlow', checkDrain)
  events.onClose(() => clearInterval(poll))
  return {
    remoteAddress: connection.peer,
    channel,
    messageBytesMax: MESSAGE_BYTES_MAX,
    binding,
    get bufferedBytes() {
      return events.isClosed ? 0 : queued()
    },
    send(message) {
      if (message.byteLength > MESSAGE_BYTES_MAX) throw tooLarge(message.byteLength)
      if (events.isClosed) return
      sendOr(data, message as Uint8Array<ArrayBuffer>, () => end('lost'))
      if (poll === undefined && queued() > LOW_WATERMARK_BYTES) poll = setInterval(checkDrain, DRAIN_POLL_MS)
    },
    sendText(text) {
      if (!events.isClosed) sendOr(data, text, () => end('lost'))
    },
    onText,
    onMessage: events.onMessage,
    onDrain: events.onDrain,
    onClose: events.onClose,
    close() {
      if (!events.close('closed-here')) return
      sendOr(data, goodbye, hangUp)
      linger(connection, hangUp)
    },
  }
}

function sendOr(data: RTCDataChannel, message: string | Uint8Array<ArrayBuffer>, onFailed: () => void): void {
  try {
    if (typeof message === 'string') data.send(message)
    else data.send(message)
  } catch {
    onFailed()
  }
}

/**
 * Closing at once would drop what is queued, and what WebRTC took and has not delivered yet, which nothing tells. Whoever
 * reads the goodbye has all that was before it, and closes.
 */
function linger(connection: DataConnection, hangUp: () => void): void {
  const timer = setTimeout(hangUp, LINGER_MS)
  connection.on('close', () => clearTimeout(timer))
}

function asBytes(data: unknown): Uint8Array | null {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return null
}

/** Fingerprints of both certificates; `null` when a side does not name exactly one. */
function fingerprints(native: RTCPeerConnection): Link['binding'] {
  const local = fingerprintOf(native.localDescription?.sdp ?? '')
  const remote = fingerprintOf(native.remoteDescription?.sdp ?? '')
  return local === null || remote === null ? null : { local, remote }
}

/** With two different fingerprints either certificate would pass: such a session binds nothing. */
export function fingerprintOf(sdp: string): string | null {
  const found = new Set<string>()
  for (const [, hash = '', digest = ''] of sdp.matchAll(/^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)\s*$/gm)) {
    found.add(`${hash.toLowerCase()} ${digest.toUpperCase()}`)
  }
  const [first] = found
  return found.size === 1 && first !== undefined ? first : null
}

interface Settled<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

function settled<T = void>(): Settled<T> {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue
    reject = onError
  })
  return { promise, resolve, reject }
}
