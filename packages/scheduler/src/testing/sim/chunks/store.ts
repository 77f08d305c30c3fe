import {
  type ChunkId,
  type ChunkRef,
  type ChunkStats,
  type ChunkStore,
  homeOf,
  type PeerId,
  ShoalError,
  type StopSignal,
  type Unsubscribe,
} from '../../../index.ts'
import type { World } from '../ending.ts'
import type { Endpoint } from '../network.ts'
import { saidSize } from '../program.ts'

/** All copies of a simulated room, and what was moved of them. */
export interface ChunkRoom {
  /** Opens the store of one start of one peer. */
  open(endpoint: Endpoint): ChunkStore
  /** Starts of peers that run and have all of a chunk, and since when. */
  holders(id: ChunkId): readonly { readonly at: Endpoint; readonly sinceMs: number }[]
  /** Chunks of which somebody who runs has a copy, with the number of copies. */
  copies(): ReadonlyMap<ChunkId, number>
  /** Moves that came to their end: `chunk>peer`, with how many. */
  readonly moves: ReadonlyMap<string, number>
  /** Takes a copy away, as a damaged disk does. */
  damage(endpoint: Endpoint, id: ChunkId): void
}

/** The world's parts that the wires between stores need. */
type Wires = Pick<World, 'loop' | 'net' | 'trace' | 'history'>

/** A holder whose link waits is looked at again after this. */
const pollMs = 50
/** As long as a store waits for a holder that nobody has met yet. */
const unmetMs = 3000
const bytesPerMs = 1000
const hashBytes = 32

interface Copy {
  readonly bytes: Uint8Array
  readonly ref: ChunkRef
  readonly sinceMs: number
}

interface Transfer {
  readonly ref: ChunkRef
  /** Those that were not tried yet. */
  readonly sources: PeerId[]
  readonly waiting: { resolve(bytes: Uint8Array): void; reject(error: unknown): void }[]
}

/**
 * The bytes of a world's chunks. A copy is on its way for its size over the link's rate; it waits while the link is
 * cut, and the next holder is tried when this one has no copy or is gone.
 * @param wires called when the first peer has started
 */
export function createChunkRoom(wires: () => Wires): ChunkRoom {
  const stores = new Map<Endpoint, SimChunkStore>()
  const moves = new Map<string, number>()
  return {
    moves,
    open(endpoint) {
      const store = new SimChunkStore(
        endpoint,
        wires(),
        (peer) => sourceOf(stores, wires(), endpoint, peer),
        (id) => {
          const move = `${id}>${endpoint.id}`
          moves.set(move, (moves.get(move) ?? 0) + 1)
        },
      )
      stores.set(endpoint, store)
      return store
    },
    holders: (id) =>
      [...stores].flatMap(([at, store]) => {
        const sinceMs = isThere(at) ? store.sinceMs(id) : null
        return sinceMs === null ? [] : [{ at, sinceMs }]
      }),
    copies() {
      const counts = new Map<ChunkId, number>()
      for (const [at, store] of stores)
        if (isThere(at)) for (const id of store.ids()) counts.set(id, (counts.get(id) ?? 0) + 1)
      return counts
    },
    damage: (endpoint, id) => stores.get(endpoint)?.drop(id),
  }
}

function isThere({ gate, hasLeft }: Endpoint): boolean {
  return gate.state !== 'dead' && !hasLeft
}

/** A holder as one peer reaches it: its store, nobody (`null`), or not at present. */
type Source = SimChunkStore | 'waiting' | 'unmet' | null

function sourceOf(
  stores: ReadonlyMap<Endpoint, SimChunkStore>,
  { net }: Wires,
  endpoint: Endpoint,
  peer: PeerId,
): Source {
  const far = [...stores.keys()].findLast(({ id }) => id === peer)
  if (far === undefined) return 'unmet'
  const bridge =
    far.role === 'contributor' && endpoint.role === 'contributor' ? bridgeOf(stores, net, endpoint, far) : far
  if (bridge === null || !isMet(net, endpoint, bridge)) return 'unmet'
  const isOpen = [far, bridge].every((end) => end.gate.state === 'running') && hasWire(net, endpoint, bridge)
  return isOpen ? (stores.get(far) ?? null) : 'waiting'
}

/** Contributors have no links to each other: a member passes on what they say. */
function bridgeOf(
  stores: ReadonlyMap<Endpoint, SimChunkStore>,
  net: Wires['net'],
  left: Endpoint,
  right: Endpoint,
): Endpoint | null {
  const members = [...stores.keys()].filter(({ role }) => role === 'member')
  return members.find((member) => isMet(net, left, member) && isMet(net, member, right)) ?? null
}

function isMet(net: Wires['net'], from: Endpoint, to: Endpoint): boolean {
  const session = net.session(from.index, to.index)
  const end = session?.ends.indexOf(from) ?? -1
  return session !== null && end >= 0 && session.isInView[end] === true && session.ends[1 - end] === to
}

function hasWire(net: Wires['net'], from: Endpoint, to: Endpoint): boolean {
  return [
    [from.index, to.index],
    [to.index, from.index],
  ].every(
    ([one, other]) =>
      !net.isCut(one as number, other as number) && !net.isClogged(one as number, other as number),
  )
}

class SimChunkStore implements ChunkStore {
  readonly #endpoint: Endpoint
  readonly #wires: Wires
  readonly #reach: (peer: PeerId) => Source
  readonly #onMoved: (id: ChunkId) => void
  readonly #copies = new Map<ChunkId, Copy>()
  readonly #transfers = new Map<ChunkId, Transfer>()
  readonly #listeners = new Set<(id: ChunkId, isHeld: boolean) => void>()
  #movedInBytes = 0

  constructor(
    endpoint: Endpoint,
    wires: Wires,
    reach: (peer: PeerId) => Source,
    onMoved: (id: ChunkId) => void,
  ) {
    this.#endpoint = endpoint
    this.#wires = wires
    this.#reach = reach
    this.#onMoved = onMoved
  }

  get stats(): ChunkStats {
    const heldBytes = [...this.#copies.values()].reduce((sum, { ref }) => sum + ref.sizeBytes, 0)
    return {
      heldBytes,
      memoryBytes: heldBytes,
      diskBytes: 0,
      movedInBytes: this.#movedInBytes,
      movedOutBytes: 0,
      relayedBytes: 0,
    }
  }

  ids(): Iterable<ChunkId> {
    return this.#copies.keys()
  }

  has(id: ChunkId): boolean {
    return this.#copies.has(id)
  }

  put(id: ChunkId, bytes: Uint8Array): Promise<ChunkRef> {
    const hash = new Uint8Array(hashBytes)
    hash.set(bytes.subarray(0, hashBytes))
    const ref = { id, sizeBytes: saidSize(bytes), hash, home: homeOf(id) as PeerId }
    return new Promise((resolve) => {
      // Hashing takes a turn or two.
      this.#at(1, () => {
        this.#keep(bytes, ref)
        resolve(ref)
      })
    })
  }

  fetch(ref: ChunkRef, holders: readonly PeerId[], signal?: StopSignal): Promise<Uint8Array> {
    if (signal !== undefined) throw new Error('Simulated users stop no fetch')
    const copy = this.#copies.get(ref.id)
    if (copy !== undefined) return Promise.resolve(copy.bytes)
    return new Promise((resolve, reject) => {
      const known = this.#transfers.get(ref.id)
      const transfer = known ?? { ref, sources: [], waiting: [] }
      transfer.waiting.push({ resolve, reject })
      transfer.sources.push(...holders.filter((holder) => holder !== this.#endpoint.id))
      if (known !== undefined) return
      this.#transfers.set(ref.id, transfer)
      this.#at(0, () => this.#pull(transfer, 0))
    })
  }

  drop(id: ChunkId): void {
    if (!this.#copies.delete(id)) return
    this.#wires.trace.event('c', this.#endpoint.index, id.length, () => `drops ${id}`)
    if (homeOf(id) === this.#endpoint.id) this.#wires.history.droppedPut(id)
    for (const listener of [...this.#listeners]) listener(id, false)
  }

  onHeld(listener: (id: ChunkId, isHeld: boolean) => void): Unsubscribe {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  bytesOf(id: ChunkId): Uint8Array | null {
    return this.#copies.get(id)?.bytes ?? null
  }

  sinceMs(id: ChunkId): number | null {
    return this.#copies.get(id)?.sinceMs ?? null
  }

  #at(inMs: number, run: () => void): void {
    const { loop } = this.#wires
    loop.at(loop.now() + inMs, this.#endpoint.gate, run)
  }

  #keep(bytes: Uint8Array, ref: ChunkRef): void {
    const { id } = ref
    if (this.#copies.has(id)) return
    this.#copies.set(id, { bytes, ref, sinceMs: this.#wires.loop.now() })
    this.#wires.trace.event('c', this.#endpoint.index, id.length, () => `has ${id}`)
    for (const listener of [...this.#listeners]) listener(id, true)
  }

  /** Goes on with a transfer. @param waitedMs for the holder that is tried at present */
  #pull(transfer: Transfer, waitedMs: number): void {
    const { ref, sources } = transfer
    const own = this.bytesOf(ref.id)
    const [holder] = sources
    if (own !== null) this.#end(transfer, own)
    else if (holder === undefined) this.#end(transfer, null)
    else {
      const source = this.#reach(holder)
      const isPatient = source === 'waiting' || (source === 'unmet' && waitedMs < unmetMs)
      if (isPatient) this.#at(pollMs, () => this.#pull(transfer, waitedMs + pollMs))
      else if (source === null || source === 'unmet') this.#next(transfer)
      else if (waitedMs === onItsWay) this.#take(transfer, source)
      else this.#at(this.#moveMs(holder, ref), () => this.#pull(transfer, onItsWay))
    }
  }

  #moveMs(holder: PeerId, { sizeBytes }: ChunkRef): number {
    const far = Array.from({ length: 16 }, (_, index) => this.#wires.net.endpoint(index)).find(
      (other) => other?.id === holder,
    )
    const delayMs = far ? this.#wires.net.delayMs(far.index, this.#endpoint.index) : 0
    return 2 * delayMs + sizeBytes / bytesPerMs
  }

  #take(transfer: Transfer, source: SimChunkStore): void {
    const { ref } = transfer
    const bytes = source.bytesOf(ref.id)
    if (bytes === null) {
      this.#next(transfer)
      return
    }
    this.#movedInBytes += ref.sizeBytes
    this.#onMoved(ref.id)
    this.#end(transfer, bytes)
  }

  #next(transfer: Transfer): void {
    transfer.sources.shift()
    this.#pull(transfer, 0)
  }

  #end(transfer: Transfer, bytes: Uint8Array | null): void {
    const { ref, waiting } = transfer
    this.#transfers.delete(ref.id)
    if (bytes === null) {
      const error = new ShoalError('E_CHUNK_LOST', `Cannot fetch chunk "${ref.id}" as no holder has it`)
      for (const { reject } of waiting) reject(error)
      return
    }
    this.#keep(bytes, ref)
    for (const { resolve } of waiting) resolve(bytes)
  }
}

/** In the place of a wait: the bytes have had their time to come. */
const onItsWay = Number.POSITIVE_INFINITY
