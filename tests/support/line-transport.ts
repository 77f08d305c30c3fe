import { createNodeTransport } from '@shoal/mesh/node'
import type { Link, LinkChannel, Transport } from '@shoal/scheduler'
import { expect } from 'vitest'

interface Signalling {
  readonly host: string
  readonly port: number
}

/** Resolves when what this end sends goes over a TCP line. */
export async function fast(link: Link): Promise<Link> {
  const { isFast } = { isFast: () => (link as { readonly isFast?: boolean }).isFast }
  await expect.poll(isFast, { timeout: 10_000, interval: 5 }).toBe(true)
  return link
}

function trusted(link: Link): Link {
  link.trust?.()
  return link
}

/** Links are trusted from their first moment, as if the hello were over: they move while they are used. */
export function movingTransport(signalling: Signalling): Transport {
  const inner = createNodeTransport({ signalling, room: 'contract', loopback: true })
  return Object.create(inner, {
    onLink: { value: (listener: (link: Link) => void) => inner.onLink((link) => listener(trusted(link))) },
    dial: {
      value: async (address: string, channel: LinkChannel) => trusted(await inner.dial(address, channel)),
    },
  }) as Transport
}

/**
 * Two that see each other have a control link of their own, which nobody else sees, and dials wait until it is
 * fast: bulk links are lines.
 */
export function linedTransport(signalling: Signalling): Transport {
  const inner = createNodeTransport({ signalling, room: 'contract', loopback: true })
  const isOurs = (address: string): boolean => inner.address > address
  const backbones = createLatches()
  const seen = new Set<string>()
  const listeners = new Set<(link: Link) => void>()
  const early: Link[] = []
  const hand = (): void => {
    if (listeners.size > 0) for (const link of early.splice(0)) for (const hear of listeners) hear(link)
  }
  const lay = (address: string, link: Promise<Link>): void => {
    seen.add(address)
    const open = (): void => backbones.of(address).open()
    link.then((one) => fast(trusted(one))).then(open, open)
  }
  inner.onSeen((address) => {
    if (isOurs(address) && !seen.has(address)) lay(address, inner.dial(address, 'control'))
  })
  inner.onGone((address) => backbones.of(address).open())
  inner.onLink((link) => {
    const { remoteAddress: address, channel } = link
    if (channel === 'control' && !isOurs(address) && !seen.has(address)) lay(address, Promise.resolve(link))
    else early.push(link)
    hand()
  })
  return Object.create(inner, {
    onLink: {
      value(listener: (link: Link) => void) {
        listeners.add(listener)
        queueMicrotask(hand)
        return () => listeners.delete(listener)
      },
    },
    dial: {
      async value(address: string, channel: LinkChannel) {
        if (address !== inner.address && inner.isOnline) await backbones.of(address).opened
        const link = await inner.dial(address, channel)
        if (channel === 'bulk') expect(link.binding).toBeNull()
        return link
      },
    },
  }) as Transport
}

interface Latch {
  readonly opened: Promise<void>
  open(): void
}

function createLatches(): { of(address: string): Latch } {
  const latches = new Map<string, Latch>()
  return {
    of(address) {
      const known = latches.get(address)
      if (known !== undefined) return known
      let open = (): void => {}
      const opened = new Promise<void>((resolve) => {
        open = resolve
      })
      const latch = { opened, open }
      latches.set(address, latch)
      return latch
    },
  }
}
