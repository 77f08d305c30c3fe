import type { Clock, Rng } from '@shoal/scheduler'
import type { DataConnection, Peer } from 'peerjs'
import { LISTING_FAILURES_MAX, LISTING_MS, OPEN_TIMEOUT_MS, RECONNECT_MS } from './limits.ts'
import { eachAddress, guardSignals } from './peerjs.signals.ts'
import type { OnRefused, PeerJs, SignallingAddress } from './peerjs.types.ts'

/** Keeps one address registered with the signalling server, whatever happens to the server. */
export interface PeerSession {
  /** The registered peer; `null` while signalling is away. */
  readonly online: Peer | null
  readonly offlineReason: string | null
  /** Leaves signalling and drops the native peers. Links must be closed before. */
  close(): void
}

interface SessionOptions {
  readonly peerJs: PeerJs
  readonly address: string
  readonly room: string
  readonly signalling: SignallingAddress
  readonly rtc: RTCConfiguration
  readonly clock: Clock
  readonly rng: Rng
  onOnline(isOnline: boolean): void
  onConnection(connection: DataConnection): void
  onSeen(address: string): void
  onGone(address: string): void
  onUnavailable(address: string): void
  readonly onRefused: OnRefused
}

export function openPeerSession(options: SessionOptions): PeerSession {
  const { clock, rng, signalling } = options
  const token = createToken()
  let peer: Peer | null = null
  let isOnline = false
  let isClosed = false
  let reason: string | null = 'the signalling server has not answered yet'
  let failures = 0
  let cancelRetry: (() => void) | null = null
  let cancelOpening = (): void => {}

  const setOnline = (next: boolean): void => {
    if (isOnline === next || isClosed) return
    isOnline = next
    if (next) listing.start()
    else listing.stop()
    options.onOnline(next)
  }
  const away = (): void => {
    cancelOpening()
    setOnline(false)
    if (isClosed || cancelRetry !== null) return
    const pauseMs = Math.min(RECONNECT_MS.max, RECONNECT_MS.first * 2 ** failures) * (0.5 + rng.next() / 2)
    failures += 1
    cancelRetry = clock.setTimer(clock.now() + pauseMs, () => {
      cancelRetry = null
      connect()
    })
  }
  const connect = (): void => {
    if (peer === null || peer.destroyed) peer = start()
    else if (peer.disconnected) peer.reconnect()
    // The server never answers while it still holds an older socket of this address.
    cancelOpening = clock.setTimer(clock.now() + OPEN_TIMEOUT_MS, () => {
      reason = `the signalling server did not answer within ${OPEN_TIMEOUT_MS} ms`
      peer?.disconnect()
    })
  }
  const start = (): Peer => {
    const next = new options.peerJs.Peer(options.address, {
      host: signalling.host,
      port: signalling.port,
      path: signalling.path ?? '/',
      secure: signalling.secure ?? false,
      token,
      debug: 0,
      config: options.rtc,
    })
    guardSignals(next, options)
    next.on('open', () => {
      cancelOpening()
      failures = 0
      reason = null
      setOnline(true)
    })
    next.on('connection', options.onConnection)
    next.on('error', (error) => {
      reason = error.message
    })
    next.on('disconnected', away)
    next.on('close', away)
    return next
  }
  const listing = createListing(options, () => {
    reason = 'the signalling server stopped answering'
    peer?.disconnect()
  })
  connect()
  return {
    get online() {
      return isOnline ? peer : null
    },
    get offlineReason() {
      return isOnline ? null : reason
    },
    close() {
      isClosed = true
      isOnline = false
      cancelRetry?.()
      cancelOpening()
      listing.stop()
      peer?.destroy()
    },
  }
}

interface Listing {
  start(): void
  stop(): void
}

/** Asks now and then who is in the room, in case that a hint was missed. */
function createListing(options: SessionOptions, onDead: () => void): Listing {
  const { host, port, path = '/', secure = false } = options.signalling
  const prefix = path.endsWith('/') ? path : `${path}/`
  const url = `${secure ? 'https' : 'http'}://${bracketed(host)}:${port}${prefix}shoal/rooms/${options.room}`
  let cancel = (): void => {}
  let run = 0
  let failures = 0
  const ask = async (current: number): Promise<void> => {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS), cache: 'no-store' })
      // Another signalling server has no listing: hints or nothing.
      const body: unknown = response.ok ? await response.json() : {}
      failures = 0
      if (current === run)
        eachAddress((body as { addresses?: unknown }).addresses, options.room, options.onSeen)
    } catch {
      failures += 1
    }
    if (current !== run) return
    if (failures >= LISTING_FAILURES_MAX) return onDead()
    const pauseMs = LISTING_MS * (0.75 + options.rng.next() / 2)
    cancel = options.clock.setTimer(options.clock.now() + pauseMs, () => void ask(current))
  }
  return {
    start() {
      failures = 0
      run += 1
      void ask(run)
    },
    stop() {
      run += 1
      cancel()
    },
  }
}

/** An IPv6 address as part of an URL. */
export function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}

/** Proves to the signalling server that a reconnecting socket is the same peer. */
function createToken(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('')
}
