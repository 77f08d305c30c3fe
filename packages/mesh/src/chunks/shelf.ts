import { type ChunkId, type ChunkRef, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { storageFault } from '../replica/storage.queue.ts'
import type { OpenDisk, PieceDisk } from './disk.ts'
import { isPiece, pieceCount, pieceOf, pieceSize } from './pieces.ts'

export interface ShelfOptions {
  /** `null`: everything stays in memory. */
  readonly openDisk: OpenDisk | null
  readonly memoryBytesMax: number
  /** Called when {@link Shelf.fault} changed. */
  readonly onFault: () => void
  /** A chunk came to be here, or went. */
  readonly onHeld: (id: ChunkId, isHeld: boolean) => void
}

/** A whole chunk that is here. */
export interface Kept {
  readonly ref: ChunkRef
  /** Of each piece; empty where nobody else will ever ask. */
  readonly hashes: Uint8Array
}

/** The place of a chunk whose pieces come one by one, in any order. */
export interface Draft {
  write(index: number, bytes: Uint8Array): Promise<void>
  /** All of it was written. Gives the bytes where they are in memory, kept or not. */
  finish(hashes: Uint8Array): Uint8Array | null
  discard(): void
}

/**
 * The chunks that are here whole. What was used last stays in memory as it is; above the limit the rest
 * goes to the disk, and is read from there when it is asked for.
 */
export interface Shelf {
  readonly heldBytes: number
  readonly memoryBytes: number
  readonly diskBytes: number
  /** Why there is no disk, or no more of it: everything else stays in memory. */
  readonly fault: ShoalError | null
  get(id: ChunkId): Kept | null
  /** @throws ShoalError `E_QUOTA` */
  keep(kept: Kept, bytes: Uint8Array): Promise<void>
  /** @throws the disk's error, or `E_HASH` when it gives something else */
  readAll(id: ChunkId): Promise<Uint8Array>
  /** @throws as `readAll` */
  readPiece(id: ChunkId, index: number): Promise<Uint8Array>
  /** @param inMemory the whole is wanted at once, so it is put together in memory */
  draft(ref: ChunkRef, inMemory: boolean): Draft
  /** `false`: it was not here. */
  drop(id: ChunkId): boolean
  close(): Promise<void>
}

export function createShelf(options: ShelfOptions): Shelf {
  return new TwoPlaceShelf(options)
}

interface Entry extends Kept {
  /** `null`: it is on the disk. */
  bytes: Uint8Array | null
  /** Its key on the disk, where it is there, or on its way there. */
  key: number
}

class TwoPlaceShelf implements Shelf {
  memoryBytes = 0
  diskBytes = 0
  fault: ShoalError | null = null
  readonly #options: ShelfOptions
  /** The least recently used ones first. */
  readonly #entries = new Map<ChunkId, Entry>()
  #disk: Promise<PieceDisk> | null = null
  #nextKey = 1
  /** Whether the disk was full; something that leaves it makes room. */
  #isFull = false
  #spilling: Promise<void> | null = null
  #isClosed = false

  constructor(options: ShelfOptions) {
    this.#options = options
  }

  get heldBytes(): number {
    return this.memoryBytes + this.diskBytes
  }

  get(id: ChunkId): Kept | null {
    return this.#entries.get(id) ?? null
  }

  async keep(kept: Kept, bytes: Uint8Array): Promise<void> {
    if (this.#entries.has(kept.ref.id)) return
    this.#checkRoom(kept.ref)
    this.#entries.set(kept.ref.id, { ...kept, bytes, key: 0 })
    this.memoryBytes += bytes.length
    this.#options.onHeld(kept.ref.id, true)
    await this.#spill()
  }

  async readAll(id: ChunkId): Promise<Uint8Array> {
    const entry = this.#use(id)
    if (entry.bytes !== null) return entry.bytes
    const { sizeBytes } = entry.ref
    const whole = new Uint8Array(sizeBytes)
    for (let index = 0; index < pieceCount(sizeBytes); index++) {
      pieceOf(whole, index).set(await this.#readDisk(entry, index))
    }
    return whole
  }

  async readPiece(id: ChunkId, index: number): Promise<Uint8Array> {
    const entry = this.#use(id)
    return entry.bytes === null ? this.#readDisk(entry, index) : pieceOf(entry.bytes, index)
  }

  draft(ref: ChunkRef, inMemory: boolean): Draft {
    const canUseDisk = this.#options.openDisk !== null && this.fault === null
    const isLarge = ref.sizeBytes > this.#options.memoryBytesMax
    return isLarge && canUseDisk && !inMemory ? this.#diskDraft(ref) : this.#memoryDraft(ref)
  }

  drop(id: ChunkId): boolean {
    const entry = this.#entries.get(id)
    if (entry === undefined) return false
    this.#entries.delete(id)
    this.#options.onHeld(id, false)
    if (entry.bytes !== null) this.memoryBytes -= entry.ref.sizeBytes
    else {
      this.diskBytes -= entry.ref.sizeBytes
      void this.#dropFromDisk(entry.key).then(() => this.#useRoom())
    }
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#entries.clear()
    this.memoryBytes = 0
    this.diskBytes = 0
    await this.#spilling
    const disk = await this.#disk?.catch(() => null)
    await disk?.close()
  }

  #use(id: ChunkId): Entry {
    const entry = this.#entries.get(id)
    if (entry === undefined)
      throw new ShoalError('E_CHUNK_LOST', `Cannot read chunk ${id} as it must be here`)
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  async #readDisk(entry: Entry, index: number): Promise<Uint8Array> {
    const disk = await this.#openDisk()
    const piece = await disk.read(entry.key, index, pieceSize(entry.ref.sizeBytes, index))
    const isRight = entry.hashes.length === 0 || (await isPiece(piece, entry.hashes, index))
    if (!isRight) throw damageError(entry.ref.id, index)
    return piece
  }

  #openDisk(): Promise<PieceDisk> {
    const { openDisk } = this.#options
    if (openDisk === null)
      throw new ShoalError('E_STORAGE', 'Cannot read a chunk as there must be a disk for it')
    this.#disk ??= openDisk()
    return this.#disk
  }

  #checkRoom(ref: ChunkRef): void {
    const hasDisk = this.#options.openDisk !== null && this.fault === null
    const [usedBytes, bytesMax] = hasDisk
      ? [this.heldBytes, limits.chunkBytesMax]
      : [this.memoryBytes, limits.chunkMemoryOnlyBytesMax]
    if (usedBytes + ref.sizeBytes <= bytesMax) return
    const why = this.fault === null ? '' : ` (${this.fault.message})`
    const text = `there must be at most ${bytesMax} bytes of chunks: current value is ${usedBytes + ref.sizeBytes}${why}`
    throw new ShoalError('E_QUOTA', `Cannot keep chunk ${ref.id} as ${text}`)
  }

  /** Resolves when memory is within its limit again, or nothing more can leave it. */
  #spill(): Promise<void> {
    this.#spilling ??= this.#spillAll().finally(() => {
      this.#spilling = null
    })
    return this.#spilling
  }

  async #spillAll(): Promise<void> {
    const { openDisk, memoryBytesMax } = this.#options
    while (!this.#isClosed && openDisk !== null && this.memoryBytes > memoryBytesMax && this.fault === null) {
      const entry = this.#nextToSpill()
      if (entry === null) return
      try {
        await this.#spillOne(entry)
      } catch (error) {
        void this.#dropFromDisk(entry.key)
        this.#fail(error)
      }
    }
  }

  /** One that is over the limit by itself does not push out all others first. */
  #nextToSpill(): Entry | null {
    let oldest: Entry | null = null
    for (const entry of this.#entries.values()) {
      if (entry.bytes === null) continue
      if (entry.ref.sizeBytes > this.#options.memoryBytesMax) return entry
      oldest ??= entry
    }
    return oldest
  }

  async #spillOne(entry: Entry): Promise<void> {
    const { id, sizeBytes } = entry.ref
    const bytes = entry.bytes as Uint8Array
    const disk = await this.#openDisk()
    entry.key = this.#nextKey++
    for (let index = 0; index < pieceCount(sizeBytes); index++) {
      await disk.write(entry.key, index, pieceOf(bytes, index))
      if (this.#entries.get(id) === entry) continue
      // It was dropped meanwhile.
      await disk.drop(entry.key)
      return
    }
    entry.bytes = null
    this.memoryBytes -= sizeBytes
    this.diskBytes += sizeBytes
  }

  #fail(error: unknown): void {
    const fault = storageFault(error)
    this.#isFull = fault.code === 'E_QUOTA'
    this.fault = fault
    this.#options.onFault()
  }

  /** What cannot be removed takes room until this peer ends, nothing else. */
  async #dropFromDisk(key: number): Promise<void> {
    const disk = await this.#disk?.catch(() => null)
    await disk?.drop(key).catch(() => {})
  }

  #useRoom(): void {
    if (!this.#isFull || this.#isClosed) return
    this.#isFull = false
    this.fault = null
    this.#options.onFault()
    void this.#spill()
  }

  #memoryDraft(ref: ChunkRef): Draft {
    const whole = new Uint8Array(ref.sizeBytes)
    return {
      write: async (index, bytes) => pieceOf(whole, index).set(bytes),
      finish: (hashes) => {
        // Whoever waits for the bytes does not wait for room, and gets them also where there is none.
        this.keep({ ref, hashes }, whole).catch(() => {})
        return whole
      },
      discard: () => {},
    }
  }

  #diskDraft(ref: ChunkRef): Draft {
    this.#checkRoom(ref)
    const key = this.#nextKey++
    let isOver = false
    return {
      write: async (index, bytes) => {
        const disk = await this.#openDisk()
        try {
          await disk.write(key, index, bytes)
        } catch (error) {
          this.#fail(error)
          throw this.fault ?? error
        }
        if (isOver) await disk.drop(key)
      },
      finish: (hashes) => {
        this.#entries.set(ref.id, { ref, hashes, bytes: null, key })
        this.diskBytes += ref.sizeBytes
        this.#options.onHeld(ref.id, true)
        return null
      },
      discard: () => {
        isOver = true
        void this.#dropFromDisk(key)
      },
    }
  }
}

function damageError(id: ChunkId, index: number): ShoalError {
  return new ShoalError(
    'E_HASH',
    `Cannot read chunk ${id} as piece ${index} on the disk must match its hash: it differs`,
  )
}
