import { createRequire } from 'node:module'
import { cleanup } from 'node-datachannel'
import * as polyfill from 'node-datachannel/polyfill'
import { WebSocket as NodeWebSocket } from 'ws'
import { createPeerJsTransport, extended } from './peerjs.ts'
import type { PeerJs, PeerJsTransport, PeerJsTransportOptions } from './peerjs.types.ts'

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

/**
 * The WebRTC transport of a Node process.
 * @throws ShoalError `E_OPTION` when `options.room` is no room name
 */
export function createNodeTransport(options: PeerJsTransportOptions): PeerJsTransport {
  const transport = createPeerJsTransport(options, loadPeerJs)
  openTransports += 1
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await transport.close()
    openTransports -= 1
    // The native threads keep the process alive until they are told to stop; they start again when needed.
    if (openTransports === 0) cleanup()
  }
  return extended(transport, {
    close() {
      closing ??= close()
      return closing
    },
  })
}
