import type { PeerInfo } from './mesh-session.ts'
import { count } from './words.ts'

/** One line of the list of peers. */
export interface PeerRow {
  readonly id: string
  readonly name: string
  readonly role: 'member' | 'contributor'
  readonly isSelf: boolean
  readonly state: 'here' | 'silent' | 'left'
  readonly processors: string
  readonly done: number
  readonly perSecond: number
  readonly colour: string
}

/** Counts who did what, as this page saw it. */
export interface Tally {
  /** A task ended on `peer`. `isLive` false: it ended before this page looked, and says nothing of speed. */
  add(peer: string, isLive: boolean): void
  colourOf(peer: string): string
  nameOf(peer: string): string
  rows(peers: readonly PeerInfo[]): PeerRow[]
  /** Tasks per second of all peers together. */
  perSecond(): number
}

/** Span over which speeds are averaged. */
const windowMs = 5_000
/** Peers that left stay in the list: their tiles are on the wall. */
const goneMax = 6

// Told apart on dark and light pictures alike; a peer's place follows from its id.
const colours = [
  '#ff6b6b',
  '#4dabf7',
  '#69db7c',
  '#ffd43b',
  '#da77f2',
  '#ff922b',
  '#38d9a9',
  '#f783ac',
  '#9775fa',
  '#a9e34b',
  '#3bc9db',
  '#e8c39e',
] as const

interface Entry {
  info: PeerInfo | null
  done: number
  ends: number[]
  colour: string
}

export function createTally(now: () => number): Tally {
  const entries = new Map<string, Entry>()
  const entryOf = (peer: string): Entry => {
    let entry = entries.get(peer)
    if (entry === undefined) {
      entry = { info: null, done: 0, ends: [], colour: freeColour(peer, entries) }
      entries.set(peer, entry)
    }
    return entry
  }
  const speedOf = (entry: Entry): number => {
    const since = now() - windowMs
    entry.ends = entry.ends.filter((at) => at > since)
    return entry.ends.length / (windowMs / 1_000)
  }
  return {
    add(peer, isLive) {
      const entry = entryOf(peer)
      entry.done += 1
      if (isLive) entry.ends.push(now())
    },
    colourOf: (peer) => entryOf(peer).colour,
    nameOf: (peer) => entries.get(peer)?.info?.name ?? peer.slice(0, 6),
    rows(peers) {
      for (const peer of [...peers].sort((one, other) => (one.id < other.id ? -1 : 1))) {
        entryOf(peer.id).info = peer
      }
      const here = new Set(peers.map((peer) => peer.id))
      const gone = [...entries.keys()].filter((id) => !here.has(id) && (entries.get(id) as Entry).done > 0)
      return [...peers.map((peer) => peer.id), ...gone.slice(-goneMax)].map((id) => {
        const entry = entryOf(id)
        return rowOf(id, entry, here.has(id), speedOf(entry))
      })
    },
    perSecond: () => [...entries.values()].reduce((sum, entry) => sum + speedOf(entry), 0),
  }
}

function rowOf(id: string, entry: Entry, isHere: boolean, perSecond: number): PeerRow {
  const { info } = entry
  return {
    id,
    name: info?.name ?? id.slice(0, 6),
    role: info?.role ?? 'member',
    isSelf: info?.isSelf ?? false,
    state: !isHere ? 'left' : info?.isSuspected === true ? 'silent' : 'here',
    processors: isHere ? processorsText(info) : 'nothing',
    done: Math.max(entry.done, info?.tasksDone ?? 0),
    perSecond,
    colour: entry.colour,
  }
}

function processorsText(info: PeerInfo | null): string {
  const kinds = new Map<string, number>()
  for (const { kind } of info?.processors ?? []) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  if (kinds.size === 0) return 'nothing'
  return [...kinds].map(([kind, number]) => count(number, kind === 'webgpu' ? 'GPU' : kind)).join(', ')
}

function freeColour(peer: string, entries: ReadonlyMap<string, Entry>): string {
  let place = 0
  for (const character of peer) place = (place * 31 + character.charCodeAt(0)) % 65_521
  const taken = new Set([...entries.values()].map((entry) => entry.colour))
  for (let step = 0; step < colours.length; step += 1) {
    const colour = colours[(place + step) % colours.length] as string
    if (!taken.has(colour)) return colour
  }
  return colours[place % colours.length] as string
}
