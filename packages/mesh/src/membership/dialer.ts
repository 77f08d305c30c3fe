import type { Clock, Link, PeerRole, Rng, Transport } from '@shoal/scheduler'
import { limits } from '../limits.ts'

export interface DialerOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly rng: Rng
  readonly role: PeerRole
  /** Whether a link to this address exists or is in its hello. */
  readonly isLinked: (address: string) => boolean
  readonly onLink: (link: Link) => void
}

/** Knows where others may be, and calls them: the larger address at once, the smaller one if nobody did. */
export interface Dialer {
  /** Somebody may be there. `role` null: not known. */
  seen(address: string, role: PeerRole | null): void
  /** A link to it was lost, or its hello failed: call again, each time later. */
  failed(address: string): void
  /** A link to it works. */
  succeeded(address: string, role: PeerRole): void
  /** Call at once, whatever the order says. */
  again(address: string): void
  forget(address: string): void
  /** Calls whoever is due. */
  run(): void
  close(): void
}

interface Entry {
  role: PeerRole | null
  attempts: number
  notBefore: number
  isDialling: boolean
}

/** The smaller address waits this long for the larger one's call, in milliseconds. */
const courtesyMs = 1_500
const retryMinMs = 200
const retryMaxMs = 15_000
/** About ten minutes of trying: long enough for a partition to heal while signalling is silent. */
const attemptsMax = 45

export function createDialer(options: DialerOptions): Dialer {
  const { transport, clock, rng } = options
  const entries = new Map<string, Entry>()
  let isClosed = false

  const courtesy = (address: string): number => (transport.address > address ? 0 : courtesyMs)

  function isWanted(address: string, entry: Entry): boolean {
    const isUseless = options.role === 'contributor' && entry.role === 'contributor'
    return !entry.isDialling && !isUseless && !options.isLinked(address)
  }

  function dial(address: string, entry: Entry): void {
    entry.isDialling = true
    transport.dial(address, 'control').then(
      (link) => {
        entry.isDialling = false
        if (isClosed) link.close()
        else options.onLink(link)
      },
      () => {
        entry.isDialling = false
        dialer.failed(address)
      },
    )
  }

  const dialer: Dialer = {
    seen(address, role) {
      if (isClosed || address === transport.address) return
      const known = entries.get(address)
      if (known === undefined) {
        const oldest = entries.size >= limits.addressesMax ? entries.keys().next().value : undefined
        if (oldest !== undefined) entries.delete(oldest)
        entries.set(address, {
          role,
          attempts: 0,
          notBefore: clock.now() + courtesy(address),
          isDialling: false,
        })
      } else {
        known.role = role ?? known.role
        known.attempts = Math.min(known.attempts, 3)
        known.notBefore = Math.min(known.notBefore, clock.now() + courtesy(address))
      }
      dialer.run()
    },
    failed(address) {
      const entry = entries.get(address)
      if (entry === undefined) return
      if (++entry.attempts > attemptsMax) {
        entries.delete(address)
        return
      }
      const pauseMs = Math.min(retryMaxMs, retryMinMs * 2 ** (entry.attempts - 1))
      const isFirst = entry.attempts === 1
      entry.notBefore = clock.now() + pauseMs * (0.75 + rng.next() / 2) + (isFirst ? courtesy(address) : 0)
    },
    succeeded(address, role) {
      const entry = entries.get(address)
      if (entry === undefined) {
        entries.set(address, { role, attempts: 0, notBefore: 0, isDialling: false })
        return
      }
      entry.role = role
      entry.attempts = 0
    },
    again(address) {
      dialer.seen(address, null)
      const entry = entries.get(address)
      if (entry !== undefined) entry.notBefore = clock.now()
      dialer.run()
    },
    forget(address) {
      entries.delete(address)
    },
    run() {
      if (isClosed) return
      const now = clock.now()
      for (const [address, entry] of [...entries]) {
        if (entry.notBefore <= now && isWanted(address, entry)) dial(address, entry)
      }
    },
    close() {
      isClosed = true
      entries.clear()
    },
  }
  return dialer
}
