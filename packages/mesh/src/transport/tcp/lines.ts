import { createSocket } from 'node:dgram'
import type { Link, Unsubscribe } from '@shoal/scheduler'
import { createListeners } from '../listeners.ts'
import type { OnRefused, SignallingAddress, Wrapping } from '../peerjs.types.ts'
import { createArrivals } from '../presence.ts'
import { type Door, openDoor } from './door.ts'
import { isPrivate } from './offer.ts'
import { createPair, type Pair } from './pair.ts'

export interface LinesOptions {
  readonly signalling: SignallingAddress
  /** Stay on 127.0.0.1. */
  readonly isLoopback: boolean
  /** Where to listen: an IP address, `'none'`, or `'auto'`, see {@link Lines}. */
  readonly listen: string
  readonly onRefused: OnRefused
}

/**
 * TCP lines of one transport. It listens from its first need on the address with which this machine reaches the
 * signalling server, if that is loopback or of a private range, unless it is told where.
 */
export interface Lines extends Wrapping {
  /** `null`: there is no line to that address. */
  dialBulk(address: string): Promise<Link> | null
  onLink(listener: (link: Link) => void): Unsubscribe
  onGone(listener: (address: string) => void): Unsubscribe
  close(): void
}

const metadata = { lines: 1 }

export function createLines(options: LinesOptions): Lines {
  const { onRefused } = options
  const pairs = new Map<string, Set<Pair>>()
  const bulks = new Set<Link>()
  const report = (error: unknown): void =>
    onRefused('E_INVARIANT', `Cannot handle a line's event: ${String(error)}`, 'tcp')
  const arrivals = createArrivals(report)
  const gones = createListeners<[string]>(report)
  let door: Promise<Door | null> | null = null
  let isClosed = false
  const keep = (link: Link): Link => {
    bulks.add(link)
    link.onClose(() => bulks.delete(link))
    return link
  }
  return {
    metadata,
    wrap(base, own, isDialler, theirMetadata) {
      // Bulk links have a line of their own, or none.
      if (base.channel === 'bulk') return base
      const address = base.remoteAddress
      const pair = createPair({
        base,
        isDialler,
        isFirst: own > address,
        mayCallLoopback: options.isLoopback,
        isAware: isAware(theirMetadata),
        door() {
          door ??= isClosed ? Promise.resolve(null) : openOwnDoor(options)
          return door
        },
        onBulk: (link) => arrivals.add(keep(link)),
        onHint: () => gones.emit(address),
        onRefused,
        report,
      })
      const known = pairs.get(address) ?? new Set()
      pairs.set(address, known.add(pair))
      pair.link.onClose(() => {
        known.delete(pair)
        if (known.size === 0) pairs.delete(address)
      })
      return pair.link
    },
    dialBulk(address) {
      for (const pair of pairs.get(address) ?? []) {
        const dialled = pair.dialBulk()
        if (dialled !== null) return dialled.then(keep)
      }
      return null
    },
    onLink: arrivals.onLink,
    onGone: gones.add,
    close() {
      isClosed = true
      for (const link of [...bulks]) link.close()
      void door?.then((opened) => opened?.close())
      arrivals.clear()
      gones.clear()
    },
  }
}

function isAware(theirs: unknown): boolean {
  return typeof theirs === 'object' && theirs !== null && (theirs as { lines?: unknown }).lines === 1
}

/** A door that cannot be opened is no reason to fail: others may have one. */
async function openOwnDoor({
  listen,
  isLoopback,
  signalling,
  onRefused,
}: LinesOptions): Promise<Door | null> {
  try {
    const host = listen === 'auto' ? await ownHost(isLoopback, signalling) : listen
    return host === 'none' ? null : await openDoor(host, onRefused)
  } catch (error) {
    onRefused('E_LISTEN', `Cannot listen for other Node peers: ${String(error)}`, listen)
    return null
  }
}

/** The own address in the network where the room is. Sends nothing: connecting a datagram socket asks for the route. */
async function ownHost(isLoopback: boolean, { host, port }: SignallingAddress): Promise<string> {
  if (isLoopback) return '127.0.0.1'
  const name = host.replace(/^\[|\]$/g, '')
  const socket = createSocket(name.includes(':') ? 'udp6' : 'udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(port, name, resolve)
    })
    const { address } = socket.address()
    return isPrivate(address) ? address : 'none'
  } finally {
    socket.close()
  }
}
