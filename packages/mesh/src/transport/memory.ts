import type { Clock, Link, LinkChannel, Rng, Transport } from '@shoal/scheduler'
import { ShoalError } from '@shoal/scheduler'
import { createSystemClock, createSystemRng } from './clock.ts'
import { LOW_WATERMARK_BYTES, MESSAGE_BYTES_MAX } from './limits.ts'
import { dialError, tooLarge } from './link.errors.ts'
import type { LinkEvents } from './listeners.ts'
import { createLinkEvents, createListeners } from './listeners.ts'
import type { Arrivals, Presence } from './presence.ts'
import { createArrivals, createPresence } from './presence.ts'

/** One room within one process: for tests, and for the simulator. */
export interface MemoryNetwork {
  /** Enters the room. `address` defaults to a fresh one. */
  join(address?: string): Transport
  /** What listeners threw: none of it reached a link. */
  readonly errors: readonly unknown[]
  /** Takes signalling away from everybody, or gives it back. Links live on. */
  setOnline(isOnline: boolean): void
}

interface Station {
  readonly address: string
  readonly presence: Presence
  readonly arrivals: Arrivals
  readonly links: Set<Link>
  setOnline(isOnline: boolean): void
}

/**
 * Transports that reach each other in memory. Messages are copied and arrive in later turns of `clock`,
 * in order. Same clock and random numbers, same run.
 */
export function createMemoryNetwork(
  options: { readonly clock?: Clock; readonly rng?: Rng } = {},
): MemoryNetwork {
  const clock = options.clock ?? createSystemClock()
  const rng = options.rng ?? createSystemRng()
  const stations = new Map<string, Station>()
  const errors: unknown[] = []
  let isOnline = true
  const network: MemoryNetwork = {
    errors,
    join(address = `memory-${suffix(rng)}`) {
      if (stations.has(address)) {
        throw new ShoalError(
          'E_OPTION',
          `Cannot join as the address must be free: current value is "${address}"`,
        )
      }
      return enter(address, {
        clock,
        stations,
        isOnline: () => isOnline,
        report: (error) => errors.push(error),
      })
    },
    setOnline(next) {
      if (isOnline === next) return
      isOnline = next
      for (const station of stations.values()) station.setOnline(next)
    },
  }
  return network
}

interface Room {
  readonly clock: Clock
  readonly stations: Map<string, Station>
  isOnline(): boolean
  report(error: unknown): void
}

function enter(address: string, room: Room): Transport {
  const { clock, stations, report } = room
  const onlines = createListeners<[boolean]>(report)
  const station: Station = {
    address,
    presence: createPresence(report),
    arrivals: createArrivals(report),
    links: new Set(),
    setOnline: onlines.emit,
  }
  let isClosed = false
  for (const other of stations.values()) {
    clock.defer(() => {
      if (stations.get(other.address) !== other || isClosed) return
      other.presence.seen(address)
      station.presence.seen(other.address)
    })
  }
  stations.set(address, station)
  const dial = async (remote: string, channel: LinkChannel): Promise<Link> => {
    await new Promise<void>((resolve) => clock.defer(resolve))
    const other = stations.get(remote)
    if (isClosed) throw dialError(remote, channel, 'the transport is closed')
    if (!room.isOnline()) throw dialError(remote, channel, 'signalling is away')
    if (other === undefined || other === station) throw dialError(remote, channel, 'nobody is there')
    const [near, far] = createLinkPair(clock, channel, address, remote, report)
    track(station, near)
    track(other, far)
    other.arrivals.add(far)
    return near
  }
  return {
    address,
    get isOnline() {
      return !isClosed && room.isOnline()
    },
    onOnline: onlines.add,
    onSeen: station.presence.onSeen,
    onGone: station.presence.onGone,
    onLink: station.arrivals.onLink,
    dial,
    async close() {
      if (isClosed) return
      isClosed = true
      stations.delete(address)
      for (const link of [...station.links]) link.close()
      for (const listeners of [onlines, station.presence, station.arrivals]) listeners.clear()
      for (const other of stations.values()) clock.defer(() => other.presence.gone(address))
    },
  }
}

function track(station: Station, link: Link): void {
  station.links.add(link)
  link.onClose(() => station.links.delete(link))
}

/** Two ends of one pipe in memory. */
export function createLinkPair(
  clock: Clock,
  channel: LinkChannel,
  near: string,
  far: string,
  report: (error: unknown) => void,
): readonly [Link, Link] {
  const ends = [createLinkEvents(report), createLinkEvents(report)] as const
  return [createEnd(clock, channel, far, ends[0], ends[1]), createEnd(clock, channel, near, ends[1], ends[0])]
}

function createEnd(
  clock: Clock,
  channel: LinkChannel,
  remoteAddress: string,
  own: LinkEvents,
  other: LinkEvents,
): Link {
  let queuedBytes = 0
  return {
    remoteAddress,
    channel,
    messageBytesMax: MESSAGE_BYTES_MAX,
    binding: null,
    get bufferedBytes() {
      return own.isClosed ? 0 : queuedBytes
    },
    send(message) {
      if (message.byteLength > MESSAGE_BYTES_MAX) throw tooLarge(message.byteLength)
      if (own.isClosed) return
      const copy = message.slice()
      queuedBytes += copy.byteLength
      clock.defer(() => {
        const before = queuedBytes
        queuedBytes -= copy.byteLength
        if (!other.deliver(copy)) {
          other.close('protocol')
          own.close('lost')
        }
        if (before > LOW_WATERMARK_BYTES && queuedBytes <= LOW_WATERMARK_BYTES) own.drained()
      })
    },
    onMessage: own.onMessage,
    onDrain: own.onDrain,
    onClose: own.onClose,
    close() {
      // After what was sent before.
      if (own.close('closed-here')) clock.defer(() => other.close('bye'))
    },
  }
}

function suffix(rng: Rng): string {
  return Array.from({ length: 16 }, () => Math.floor(rng.next() * 36).toString(36)).join('')
}
