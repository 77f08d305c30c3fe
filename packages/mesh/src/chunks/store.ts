import {
  type ChunkId,
  type ChunkRef,
  type ChunkStats,
  type ChunkStore,
  type Clock,
  type PeerId,
  ShoalError,
  type StopSignal,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { createListeners, type Listeners } from '../transport/listeners.ts'
import { digest } from './digests.ts'
import type { OpenDisk } from './disk.ts'
import { checkRef, hashBytes, hashPieces, isHashList, isSameChunk, refError } from './pieces.ts'
import { createServing, type Serving } from './serving.ts'
import { createShelf, type Shelf } from './shelf.ts'
import { createTransfers, type Transfers } from './transfers.ts'
import type { Reach, Wanted } from './wanted.ts'

/** What chunk stores say to each other, and who is there. */
export interface ChunkNetwork {
  reach(peer: PeerId): Reach
  /** Whether what this peer says of its own chunks is taken for true: it is a member, at the other end of a link. */
  isTrusted(peer: PeerId): boolean
  ask(peer: PeerId, wanted: Wanted): void
  /** Resolves when the bytes arrived, or never will. */
  answer(peer: PeerId, request: number, bytes: Uint8Array | null): Promise<void>
  refuse(peer: PeerId, error: ShoalError): void
  /** Bytes of pieces that were passed on between others; absent: none ever is. */
  readonly relayedBytes?: number
}

export interface ChunkStoreOptions {
  readonly self: PeerId
  readonly clock: Clock
  /** `null`: there is nobody else, so that nothing is hashed. */
  readonly network: ChunkNetwork | null
  /** Default: none, everything stays in memory. */
  readonly openDisk?: OpenDisk | null
  /** Bytes of chunks in memory; default {@link limits.chunkMemoryBytesMax}. */
  readonly memoryBytesMax?: number
}

/** The chunks of a room's peer. */
export interface RoomChunks extends ChunkStore {
  /** Why chunks stay in memory that should be on a disk; `null`: all is well. */
  readonly fault: ShoalError | null
  /**
   * As `fetch`, without giving the bytes: what is larger than the memory limit goes straight to the disk.
   * @throws ShoalError as `fetch`; `E_QUOTA` no room for it
   */
  hold(ref: ChunkRef, holders: readonly PeerId[], signal?: StopSignal): Promise<void>
}

/** A room's chunk store, with the ends of its network. */
export interface MeshChunkStore extends RoomChunks {
  onFault(listener: () => void): () => void
  onWanted(from: PeerId, wanted: Wanted): void
  onAnswer(from: PeerId, request: number, bytes: Uint8Array | null): void
  /** The answer to a request came in part, and the rest never will. */
  onLost(from: PeerId, request: number): void
  /** A link to the peer was made (again), broke, or the peer is gone. */
  onReach(peer: PeerId): void
}

/** Keeps chunks here, and moves them between the peers of a room. */
export function createChunkStore(options: ChunkStoreOptions): MeshChunkStore {
  return new NetworkChunkStore(options)
}

class NetworkChunkStore implements MeshChunkStore {
  readonly onHeld: ChunkStore['onHeld']
  readonly onFault: MeshChunkStore['onFault']
  readonly onWanted: MeshChunkStore['onWanted']
  readonly onAnswer: MeshChunkStore['onAnswer']
  readonly onLost: MeshChunkStore['onLost']
  readonly #self: PeerId
  readonly #network: ChunkNetwork
  readonly #isAlone: boolean
  readonly #shelf: Shelf
  readonly #serving: Serving
  readonly #transfers: Transfers
  readonly #held: Listeners<[ChunkId, boolean]> = createListeners(report)
  readonly #faults: Listeners<[]> = createListeners(report)
  #closed: Promise<void> | null = null

  constructor(options: ChunkStoreOptions) {
    const network = options.network ?? nobody
    this.#self = options.self
    this.#network = network
    this.#isAlone = options.network === null
    this.#shelf = createShelf({
      openDisk: options.openDisk ?? null,
      memoryBytesMax: options.memoryBytesMax ?? limits.chunkMemoryBytesMax,
      onFault: () => this.#faults.emit(),
      onHeld: (id, isHeld) => this.#held.emit(id, isHeld),
    })
    this.#serving = createServing({ shelf: this.#shelf, answer: (...args) => network.answer(...args) })
    this.#transfers = createTransfers({
      clock: options.clock,
      reach: (peer) => network.reach(peer),
      isTrusted: (peer) => network.isTrusted(peer),
      ask: (peer, wanted) => network.ask(peer, wanted),
      refuse: (peer, error) => network.refuse(peer, error),
      draft: (ref, inMemory) => this.#shelf.draft(ref, inMemory),
    })
    this.onHeld = this.#held.add
    this.onFault = this.#faults.add
    this.onWanted = (from, wanted) => this.#serving.onWanted(from, wanted)
    this.onAnswer = (from, request, bytes) => this.#transfers.onAnswer(from, request, bytes)
    this.onLost = (from, request) => this.#transfers.onLost(from, request)
  }

  get fault(): ShoalError | null {
    return this.#shelf.fault
  }

  get stats(): ChunkStats {
    const { heldBytes, memoryBytes, diskBytes } = this.#shelf
    const { movedInBytes } = this.#transfers
    const { movedOutBytes } = this.#serving
    const { relayedBytes = 0 } = this.#network
    return { heldBytes, memoryBytes, diskBytes, movedInBytes, movedOutBytes, relayedBytes }
  }

  async put(id: ChunkId, bytes: Uint8Array): Promise<ChunkRef> {
    this.#checkOpen()
    const hashes = this.#isAlone ? new Uint8Array(0) : await hashPieces(bytes)
    const hash = this.#isAlone ? new Uint8Array(hashBytes) : await digest(hashes)
    const ref: ChunkRef = { id, sizeBytes: bytes.length, hash, home: this.#self }
    const held = this.#shelf.get(id)
    if (held !== null && !isSameChunk(held.ref, ref))
      throw refError(ref, 'its id must be a new one: it was used before')
    if (held === null) await this.#shelf.keep({ ref, hashes }, bytes)
    this.#checkOpen()
    return ref
  }

  has(id: ChunkId): boolean {
    return this.#shelf.get(id) !== null
  }

  async fetch(ref: ChunkRef, holders: readonly PeerId[], signal?: StopSignal): Promise<Uint8Array> {
    if (await this.#isHere(ref, signal)) {
      try {
        return await this.#shelf.readAll(ref.id)
      } catch {
        // The disk lost it: whoever else has it is asked.
        this.drop(ref.id)
      }
    }
    const bytes = await this.#transfers.fetch(ref, this.#others(holders), true, signal)
    return bytes ?? this.#shelf.readAll(ref.id)
  }

  async hold(ref: ChunkRef, holders: readonly PeerId[], signal?: StopSignal): Promise<void> {
    if (await this.#isHere(ref, signal)) return
    await this.#transfers.fetch(ref, this.#others(holders), false, signal)
    if (this.has(ref.id)) return
    throw new ShoalError('E_QUOTA', `Cannot hold chunk ${ref.id} as there must be room for it: there is none`)
  }

  drop(id: ChunkId): void {
    this.#shelf.drop(id)
  }

  onReach(peer: PeerId): void {
    this.#serving.onReach(peer)
    this.#transfers.onReach(peer)
  }

  close(): Promise<void> {
    this.#transfers.close()
    this.#closed ??= this.#shelf.close()
    return this.#closed
  }

  /** @throws ShoalError when the reference cannot be one of the chunk */
  async #isHere(ref: ChunkRef, signal: StopSignal | undefined): Promise<boolean> {
    this.#checkOpen()
    checkRef(ref)
    if (signal?.aborted) throw signal.reason
    const held = this.#shelf.get(ref.id)
    if (held !== null && !isSameChunk(held.ref, ref))
      throw refError(ref, 'the chunk with its id has other bytes')
    if (held !== null) return true
    if (ref.sizeBytes > 0) return false
    const nothing = new Uint8Array(0)
    if (!(await isHashList(nothing, ref))) throw refError(ref, 'its hash must be the one of no bytes')
    await this.#shelf.keep({ ref, hashes: nothing }, nothing)
    return true
  }

  #others(holders: readonly PeerId[]): readonly PeerId[] {
    return holders.filter((holder) => holder !== this.#self)
  }

  #checkOpen(): void {
    if (this.#closed === null) return
    throw new ShoalError('E_CLOSED', 'Cannot use chunks as their store must be open: it was closed')
  }
}

const nobody: ChunkNetwork = {
  reach: () => 'gone',
  isTrusted: () => false,
  ask: () => {},
  answer: async () => {},
  refuse: () => {},
}

/** Listeners that throw harm nobody else. */
function report(error: unknown): void {
  console.error(error)
}
