import { createRequire } from 'node:module'
import { isIP } from 'node:net'
import { ShoalError, type Unsubscribe } from '@shoal/scheduler'
import { cleanup } from 'node-datachannel'
import * as polyfill from 'node-datachannel/polyfill'
import { WebSocket as NodeWebSocket } from 'ws'
import { createPeerJsTransport, extended } from './peerjs.ts'
import type { PeerJs, PeerJsTransport, PeerJsTransportOptions } from './peerjs.types.ts'
import { createLines } from './tcp/lines.ts'

/** Candidates that may wait for their session description; ours have under 20. */
const QUEUED_CANDIDATES_MAX = 100

let isProbing = false
let loaded: PeerJs | null = null
let openTransports = 0

/**
 * node-datachannel's connection with candidates in an order that it survives: libdatachannel starts DTLS
 * as soon as it has the remote candidates, possibly before the remote fingerprint, and such a link is
 * dead. So local candidates are held until the other side can have our description, and remote ones
 * until we have theirs.
 */
class OrderedPeerConnection extends polyfill.RTCPeerConnection {
  #isFlushed = false
  #held: Event[] = []
  #hasRemote = false
  #queued: (RTCIceCandidateInit | null | undefined)[] = []

  constructor(config: RTCConfiguration = {}) {
    // PeerJS probes for features with the public servers of its defaults: nothing may go out for that.
    super({ ...config, iceServers: isProbing ? [] : (config.iceServers ?? []) })
  }

  override dispatchEvent(event: Event): boolean {
    if (event.type !== 'icecandidate' || this.#isFlushed) return super.dispatchEvent(event)
    this.#held.push(event)
    return true
  }

  override async setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void> {
    await super.setLocalDescription(description as RTCSessionDescriptionInit)
    // One macrotask later PeerJS has sent the answer.
    if (description?.type === 'answer') setImmediate(() => this.#flush())
  }

  override async addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
    if (this.#hasRemote) return super.addIceCandidate(candidate)
    if (this.#queued.length < QUEUED_CANDIDATES_MAX) this.#queued.push(candidate)
  }

  override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    await super.setRemoteDescription(description)
    this.#hasRemote = true
    for (const candidate of this.#queued.splice(0)) await super.addIceCandidate(candidate).catch(() => {})
    if (description.type === 'answer') this.#flush()
  }

  #flush(): void {
    this.#isFlushed = true
    for (const event of this.#held.splice(0)) super.dispatchEvent(event)
  }
}

/** Without an error listener a server that cannot be reached ends the process. */
class QuietWebSocket extends NodeWebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols, { perMessageDeflate: false })
    this.on('error', () => {})
  }
}

/** Loads PeerJS with the WebRTC that Node lacks. PeerJS reads it from the global scope. */
export function loadPeerJs(): PeerJs {
  if (loaded !== null) return loaded
  const { RTCSessionDescription, RTCIceCandidate, RTCDataChannel, RTCError } = polyfill
  Object.assign(globalThis, {
    RTCPeerConnection: OrderedPeerConnection,
    RTCSessionDescription,
    RTCIceCandidate,
    RTCDataChannel,
    RTCError,
  })
  const scope = globalThis as { WebSocket?: unknown }
  scope.WebSocket ??= QuietWebSocket
  isProbing = true
  try {
    loaded = createRequire(import.meta.url)('peerjs') as PeerJs
  } finally {
    isProbing = false
  }
  return loaded
}

/** How a Node process reaches a room. */
export interface NodeTransportOptions extends PeerJsTransportOptions {
  /**
   * The address on which other Node peers may open TCP lines to this one, which are faster than WebRTC: an IP
   * address, `'0.0.0.0'` for all of this machine, or `'none'`, to open lines to others only. Default `'auto'`: the own
   * address in the network where the signalling server is, if that is loopback or of a private range, else `'none'`.
   * Only who has passed the room's handshake learns the port and the key.
   */
  readonly listen?: 'auto' | 'none' | (string & {})
}

/**
 * The transport of a Node process: WebRTC to everybody, and TCP lines to other Node processes where they can reach
 * each other.
 * @throws ShoalError `E_OPTION` when `options.room` is no room name, or `options.listen` no address
 */
export function createNodeTransport(options: NodeTransportOptions): PeerJsTransport {
  const { signalling, loopback: isLoopback = false, listen = 'auto', onRefused = () => {} } = options
  if (listen !== 'auto' && listen !== 'none' && isIP(listen) === 0) throw listenError(listen)
  const lines = createLines({ signalling, isLoopback, listen, onRefused })
  const transport = createPeerJsTransport(options, loadPeerJs, lines)
  openTransports += 1
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await transport.close()
    openTransports -= 1
    // The native threads keep the process alive until they are told to stop; they start again when needed.
    if (openTransports === 0) cleanup()
  }
  return extended(transport, {
    onLink: both(transport.onLink, lines.onLink),
    onGone: both(transport.onGone, lines.onGone),
    async dial(address, channel) {
      const line = channel === 'bulk' && closing === null ? lines.dialBulk(address) : null
      // Where a line fails after all, WebRTC does it.
      return (await line?.catch(() => null)) ?? transport.dial(address, channel)
    },
    close() {
      lines.close()
      closing ??= close()
      return closing
    },
    hangUp() {
      lines.close()
      transport.hangUp()
    },
  })
}

function listenError(listen: string): ShoalError {
  const text = `Cannot join as option "listen" must be 'auto', 'none' or an IP address: current value is ${listen}`
  return new ShoalError('E_OPTION', text, { data: { option: 'listen' } })
}

function both<A>(
  first: (listener: (given: A) => void) => Unsubscribe,
  second: (listener: (given: A) => void) => Unsubscribe,
): (listener: (given: A) => void) => Unsubscribe {
  return (listener) => {
    const stops = [first(listener), second(listener)]
    return () => {
      for (const stop of stops) stop()
    }
  }
}
