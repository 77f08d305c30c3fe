import type { Clock, Link, Rng, Transport, Unsubscribe } from '@shoal/scheduler'
import { createSystemClock, createSystemRng } from './clock.ts'
import { dialError } from './link.errors.ts'
import { createLinkEvents } from './listeners.ts'

/** What goes wrong with messages that this side sends. Rates are probabilities from 0 to 1. */
export interface ChaosFaults {
  /** Messages that vanish. */
  readonly dropRate: number
  /** Messages that arrive twice. */
  readonly duplicateRate: number
  /** Messages that may overtake earlier ones, within the delay. */
  readonly reorderRate: number
  /** Shortest and longest delay in milliseconds. */
  readonly delayMs: readonly [min: number, max: number]
  /** Dials that fail. */
  readonly dialFailRate: number
}

/** `out`: what this side sends is held. `in`: what it would receive is held. */
export type PartitionSide = 'both' | 'in' | 'out'

/** A transport that misbehaves on purpose. */
export interface ChaosTransport extends Transport {
  /** Changes some faults from now on. */
  setFaults(faults: Partial<ChaosFaults>): void
  /**
   * Cuts this side off from `address`, or from everybody. Links stay open and say nothing, as WebRTC's do
   * for half a minute; what is sent meanwhile arrives after {@link ChaosTransport.heal}.
   */
  partition(address?: string, side?: PartitionSide): void
  /** Ends partitions with `address`, or all. */
  heal(address?: string): void
}

export const NO_FAULTS: ChaosFaults = {
  dropRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  delayMs: [0, 0],
  dialFailRate: 0,
}

interface Weather {
  readonly clock: Clock
  readonly rng: Rng
  readonly report: (error: unknown) => void
  faults: ChaosFaults
  isCut(address: string, side: 'in' | 'out'): boolean
  onHeal(listener: () => void): Unsubscribe
}

/**
 * Puts faults between `inner` and its user. Same random numbers, clock and calls, same faults. Without
 * faults it behaves as `inner` does.
 */
export function createChaosTransport(
  inner: Transport,
  options: {
    readonly faults?: Partial<ChaosFaults>
    readonly clock?: Clock
    readonly rng?: Rng
    readonly report?: (error: unknown) => void
  } = {},
): ChaosTransport {
  const cuts = new Map<string, PartitionSide>()
  const healed = new Set<() => void>()
  const wrapped = new WeakMap<Link, Link>()
  const weather: Weather = {
    clock: options.clock ?? createSystemClock(),
    rng: options.rng ?? createSystemRng(),
    report: options.report ?? (() => {}),
    faults: { ...NO_FAULTS, ...options.faults },
    isCut(address, side) {
      const cut = cuts.get(address) ?? cuts.get('*')
      return cut === 'both' || cut === side
    },
    onHeal(listener) {
      healed.add(listener)
      return () => {
        healed.delete(listener)
      }
    },
  }
  /** Several listeners see one link. */
  const wrap = (link: Link): Link => {
    const known = wrapped.get(link) ?? wrapLink(link, weather)
    wrapped.set(link, known)
    return known
  }
  return {
    address: inner.address,
    get isOnline() {
      return inner.isOnline
    },
    onOnline: (listener) => inner.onOnline(listener),
    onSeen: (listener) => inner.onSeen(listener),
    onGone: (listener) => inner.onGone(listener),
    onLink: (listener) =>
      inner.onLink((link) => {
        if (weather.isCut(link.remoteAddress, 'in')) link.close()
        else listener(wrap(link))
      }),
    async dial(address, channel) {
      if (weather.isCut(address, 'out')) throw dialError(address, channel, 'a partition is in the way')
      if (weather.rng.next() < weather.faults.dialFailRate) throw dialError(address, channel, 'chaos')
      return wrap(await inner.dial(address, channel))
    },
    close: () => inner.close(),
    setFaults(faults) {
      weather.faults = { ...weather.faults, ...faults }
    },
    partition(address = '*', side = 'both') {
      cuts.set(address, side)
    },
    heal(address) {
      if (address === undefined) cuts.clear()
      else cuts.delete(address)
      for (const listener of [...healed]) listener()
    },
  }
}

function wrapLink(link: Link, weather: Weather): Link {
  const events = createLinkEvents(weather.report)
  const outgoing = createLane(weather, () => weather.isCut(link.remoteAddress, 'out'))
  const incoming = createLane(weather, () => weather.isCut(link.remoteAddress, 'in'))
  const offHeal = weather.onHeal(() => {
    outgoing.release()
    incoming.release()
  })
  events.onClose(offHeal)
  link.onMessage((message) => incoming.pass(message.byteLength, () => void events.deliver(message)))
  link.onDrain(events.drained)
  link.onClose((reason) => incoming.pass(0, () => void events.close(reason)))
  return {
    remoteAddress: link.remoteAddress,
    channel: link.channel,
    messageBytesMax: link.messageBytesMax,
    binding: link.binding,
    get isFast() {
      return link.isFast === true
    },
    get bufferedBytes() {
      return link.bufferedBytes + (events.isClosed ? 0 : outgoing.heldBytes)
    },
    send(message) {
      if (events.isClosed || message.byteLength > link.messageBytesMax) return link.send(message)
      const copy = message.slice()
      const { rng, faults } = weather
      if (rng.next() < faults.dropRate) return
      const copies = rng.next() < faults.duplicateRate ? 2 : 1
      for (let no = 0; no < copies; no += 1) outgoing.delay(copy.byteLength, () => link.send(copy))
    },
    onMessage: events.onMessage,
    onDrain: events.onDrain,
    onClose: events.onClose,
    trust: () => link.trust?.(),
    close() {
      if (!events.close('closed-here')) return
      outgoing.delay(0, () => link.close())
    },
  }
}

interface Parcel {
  readonly sizeBytes: number
  readonly deliver: () => void
}

/** One direction of a link: what waits in it, and for what. */
interface Lane {
  readonly heldBytes: number
  /** In order, held while cut. */
  pass(sizeBytes: number, deliver: () => void): void
  /** After the delay of the faults; then as `pass`. */
  delay(sizeBytes: number, deliver: () => void): void
  release(): void
}

function createLane(weather: Weather, isCut: () => boolean): Lane {
  const held: Parcel[] = []
  /** Under way in order: timers that are due together may fire in any order. */
  const ordered: Parcel[] = []
  let heldBytes = 0
  let lastAtMs = Number.NEGATIVE_INFINITY
  const release = (): void => {
    while (!isCut()) {
      const next = held.shift()
      if (next === undefined) return
      heldBytes -= next.sizeBytes
      next.deliver()
    }
  }
  const pass: Lane['pass'] = (sizeBytes, deliver) => {
    if (held.length === 0 && !isCut()) return deliver()
    held.push({ sizeBytes, deliver })
    heldBytes += sizeBytes
  }
  return {
    get heldBytes() {
      return heldBytes
    },
    pass,
    delay(sizeBytes, deliver) {
      const { clock, rng, faults } = weather
      const [min, max] = faults.delayMs
      const now = clock.now()
      const atMs = now + min + rng.next() * (max - min)
      const mayOvertake = rng.next() < faults.reorderRate
      // In order unless it may overtake: never before the one sent last.
      const dueMs = mayOvertake ? atMs : Math.max(atMs, lastAtMs)
      if (!mayOvertake) lastAtMs = dueMs
      if (dueMs <= now && ordered.length === 0) {
        pass(sizeBytes, deliver)
        return
      }
      const parcel = { sizeBytes, deliver }
      heldBytes += sizeBytes
      if (!mayOvertake) ordered.push(parcel)
      clock.setTimer(dueMs, () => {
        const due = mayOvertake ? parcel : (ordered.shift() ?? parcel)
        heldBytes -= due.sizeBytes
        pass(due.sizeBytes, due.deliver)
      })
    },
    release,
  }
}
