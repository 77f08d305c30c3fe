import type { Clock, Link, LinkChannel } from '@shoal/scheduler'
import { createAddress } from './address.ts'
import { createSystemClock, createSystemRng } from './clock.ts'
import { DIAL_TIMEOUT_MS } from './limits.ts'
import { dialError } from './link.errors.ts'
import { createListeners } from './listeners.ts'
import { createConnections, type Wrap } from './peerjs.connections.ts'
import { openPeerSession } from './peerjs.session.ts'
import type {
  LoadPeerJs,
  OnRefused,
  PeerJsTransport,
  PeerJsTransportOptions,
  Wrapping,
} from './peerjs.types.ts'
import { createArrivals, createPresence } from './presence.ts'

/** A process that exits sooner takes its goodbye with it. */
const SETTLE_MS = 120

/**
 * A transport over WebRTC: PeerJS connects, and every link is a data channel of a connection of its own.
 * Gives at once; until the signalling server answers, `isOnline` is `false` and dials wait.
 * @throws ShoalError `E_OPTION` when `options.room` is no room name
 */
export function createPeerJsTransport(
  options: PeerJsTransportOptions,
  load: LoadPeerJs,
  wrapping?: Wrapping,
): PeerJsTransport {
  const { room, signalling, dialTimeoutMs = DIAL_TIMEOUT_MS, clock = createSystemClock() } = options
  const onRefused: OnRefused = options.onRefused ?? (() => {})
  const address = createAddress(room)
  const report = (error: unknown): void =>
    onRefused('E_INVARIANT', `Cannot handle a transport event: ${String(error)}`, address)
  const onlines = createListeners<[boolean]>(report)
  const presence = createPresence(report)
  const arrivals = createArrivals(report)
  const wrap: Wrap = (base, ...dial) => wrapping?.wrap(base, address, ...dial) ?? base
  const connections = createConnections(dialTimeoutMs, arrivals.add, onRefused, wrap)
  const gate = createGate(clock)
  let closing: Promise<void> | null = null

  const session = openPeerSession({
    peerJs: load(),
    address,
    room,
    signalling,
    rtc: rtcOf(options),
    clock,
    rng: options.rng ?? createSystemRng(),
    onOnline(isOnline) {
      // Offers and answers may have gone down with it: who dials again is sooner there than who waits.
      if (isOnline) connections.fail('signalling was away during the set-up')
      onlines.emit(isOnline)
      if (isOnline) gate.open()
    },
    onConnection: connections.accept,
    onSeen: (seen) => (seen === address ? undefined : presence.seen(seen)),
    onGone: presence.gone,
    onUnavailable: (absent) => connections.fail('the signalling server knows nobody there', absent),
    onRefused,
  })
  const shut = (): void => {
    session.close()
    for (const listeners of [onlines, presence, arrivals]) listeners.clear()
  }
  const close = async (): Promise<void> => {
    gate.open()
    if (session.online !== null) onlines.emit(false)
    const count = await connections.close()
    shut()
    if (count > 0) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  }
  const dial = async (remote: string, channel: LinkChannel): Promise<Link> => {
    if (remote === address) throw dialError(remote, channel, 'it is the own address')
    const untilMs = clock.now() + dialTimeoutMs
    if (session.online === null && closing === null) await gate.wait(untilMs)
    if (closing !== null) throw dialError(remote, channel, 'the transport is closed')
    if (session.online === null)
      throw dialError(remote, channel, `signalling is away: ${session.offlineReason}`)
    const form = { serialization: 'raw', reliable: true, label: channel, metadata: wrapping?.metadata }
    const connection = session.online.connect(remote, form)
    return connections.follow(connection, channel, Math.max(1, Math.ceil(untilMs - clock.now())))
  }
  return {
    address,
    get isOnline() {
      return session.online !== null
    },
    get offlineReason() {
      return session.offlineReason
    },
    onOnline: onlines.add,
    onSeen: presence.onSeen,
    onGone: presence.onGone,
    onLink: arrivals.onLink,
    dial,
    close() {
      closing ??= close()
      return closing
    },
    hangUp() {
      closing ??= Promise.resolve()
      connections.hangUp()
      shut()
    },
  }
}

function rtcOf({ iceServers = [], loopback }: PeerJsTransportOptions): RTCConfiguration {
  // `bindAddress` is no standard member: node-datachannel reads it, browsers ignore it.
  return { iceServers: [...iceServers], ...(loopback && { bindAddress: '127.0.0.1' }) }
}

/** `transport` with some members of its own; its properties stay live. */
export function extended(transport: PeerJsTransport, members: Partial<PeerJsTransport>): PeerJsTransport {
  return Object.create(transport, Object.getOwnPropertyDescriptors(members)) as PeerJsTransport
}

/** Holds dials until signalling is there, or they are out of time. */
interface Gate {
  open(): void
  wait(untilMs: number): Promise<void>
}

function createGate(clock: Clock): Gate {
  const waiting = new Set<() => void>()
  return {
    open() {
      for (const release of [...waiting]) release()
    },
    wait: (untilMs) =>
      new Promise((resolve) => {
        const cancel = clock.setTimer(untilMs, () => release())
        const release = (): void => {
          cancel()
          waiting.delete(release)
          resolve()
        }
        waiting.add(release)
      }),
  }
}
