import { type Clock, type PeerId, ShoalError } from '@shoal/scheduler'
import { type ChunkStoreOptions, createChunkStore, type MeshChunkStore } from './store.ts'
import type { Reach, Wanted } from './wanted.ts'

/** One thing that a store said to another. */
export type Said =
  | { readonly type: 'wanted'; readonly wanted: Wanted }
  | { readonly type: 'piece'; readonly request: number; readonly bytes: Uint8Array | null }

/** Stores that reach each other in memory: what one says the other hears a turn later, in order. */
export interface StoreWorld {
  join(name: string, options?: Partial<ChunkStoreOptions>): MeshChunkStore
  /** Cuts or mends the way between two peers, and tells both. */
  setReach(a: string, b: string, reach: Reach): void
  /** Changes, or with `null` swallows, what is said from now on. */
  tamper: (from: string, to: string, said: Said) => Said | null
  /** Peers that all others take for members. */
  readonly trusted: Set<string>
  /** How long what was just tampered with takes; 0: the next turn. */
  delayMs: () => number
  /** Codes that a peer refused, in order, with who it was that it refused. */
  readonly refusals: string[]
  readonly said: { readonly from: string; readonly to: string; readonly said: Said }[]
}

export function createStoreWorld(clock: Clock): StoreWorld {
  const stores = new Map<string, MeshChunkStore>()
  const reaches = new Map<string, Reach>()
  /** What is on the way over a link that broke never arrives. */
  const links = new Map<string, number>()
  const key = (a: string, b: string): string => [a, b].sort().join(' ')
  const reachOf = (a: string, b: string): Reach =>
    reaches.get(key(a, b)) ?? (stores.has(b) ? 'linked' : 'gone')
  const world: StoreWorld = {
    tamper: (_from, _to, said) => said,
    trusted: new Set(),
    delayMs: () => 0,
    refusals: [],
    said: [],
    setReach(a, b, reach) {
      reaches.set(key(a, b), reach)
      links.set(key(a, b), (links.get(key(a, b)) ?? 0) + 1)
      stores.get(a)?.onReach(b as PeerId)
      stores.get(b)?.onReach(a as PeerId)
    },
    join(name, options = {}) {
      const store = createChunkStore({
        self: name as PeerId,
        clock,
        network: {
          reach: (peer) => reachOf(name, peer),
          isTrusted: (peer) => world.trusted.has(peer),
          ask: (peer, wanted) => void say(name, peer, { type: 'wanted', wanted }),
          answer: (peer, request, bytes) => say(name, peer, { type: 'piece', request, bytes }),
          refuse: (peer, error) => void world.refusals.push(`${name} refused ${peer}: ${error.code}`),
        },
        ...options,
      })
      stores.set(name, store)
      for (const other of stores.keys()) if (other !== name) world.setReach(name, other, 'linked')
      return store
    },
  }

  function say(from: string, to: string, original: Said): Promise<void> {
    const said = world.tamper(from, to, original)
    const link = links.get(key(from, to))
    return new Promise((resolve) => {
      const arrive = (): void => {
        resolve()
        if (said === null || reachOf(from, to) !== 'linked' || links.get(key(from, to)) !== link) return
        world.said.push({ from, to, said })
        hear(from, to, said)
      }
      const delayMs = world.delayMs()
      if (delayMs === 0) clock.defer(arrive)
      else clock.setTimer(clock.now() + delayMs, arrive)
    })
  }

  function hear(from: string, to: string, said: Said): void {
    const store = stores.get(to)
    try {
      if (said.type === 'wanted') store?.onWanted(from as PeerId, said.wanted)
      else store?.onAnswer(from as PeerId, said.request, said.bytes)
    } catch (error) {
      const code = error instanceof ShoalError ? error.code : String(error)
      world.refusals.push(`${to} refused ${from}: ${code}`)
    }
  }

  return world
}
