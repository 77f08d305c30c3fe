import type { Clock, Link, Rng, Transport } from '@shoal/scheduler'
import type { Peer, PeerJSOption } from 'peerjs'

/** What this folder uses of the PeerJS library. */
export interface PeerJs {
  readonly Peer: new (id: string, options: PeerJSOption) => Peer
}

/** Loads PeerJS for the platform at hand. */
export type LoadPeerJs = () => PeerJs

/** Something was refused on the way in; the peer goes on. */
export type OnRefused = (code: string, message: string, from: string) => void

/** A link that carries text beside its messages, in order with them: what one end's transport tells the other's. */
export interface Base extends Link {
  sendText(text: string): void
  /** At most one listener. Without one, text is refused. */
  onText(listener: (text: string) => void): void
}

/** What a platform adds to links. */
export interface Wrapping {
  /** Travels with each dial. */
  readonly metadata: unknown
  /** Gives the link that users see; `theirs` is the metadata of who dialled. */
  wrap(base: Base, own: string, isDialler: boolean, theirs: unknown): Link
}

/** Where a PeerJS-compatible signalling server listens. */
export interface SignallingAddress {
  readonly host: string
  readonly port: number
  /** Path prefix of the server. Default `/`. */
  readonly path?: string
  /** `wss:` and `https:`. Default `false`. */
  readonly secure?: boolean
}

/** How to reach a room over WebRTC. */
export interface PeerJsTransportOptions {
  readonly signalling: SignallingAddress
  /** Public name of the room: it prefixes every address. */
  readonly room: string
  /** STUN and TURN servers. Default none: peers of one network, no third party. */
  readonly iceServers?: readonly RTCIceServer[]
  /** Time for a dial in milliseconds, waiting for signalling included. Default 10,000. */
  readonly dialTimeoutMs?: number
  /** Node only: stay on 127.0.0.1. Default `false`. */
  readonly loopback?: boolean
  readonly onRefused?: OnRefused
  /** Timers of reconnecting and listing. Default: the platform's. */
  readonly clock?: Clock
  /** Jitter of reconnecting and listing. Default: the platform's. */
  readonly rng?: Rng
}

/** A transport over WebRTC. */
export interface PeerJsTransport extends Transport {
  /** Why signalling is away, for people; `null` while it is there. */
  readonly offlineReason: string | null
  /** Closes everything at once, dropping what is queued: for a page that is going away. */
  hangUp(): void
}
