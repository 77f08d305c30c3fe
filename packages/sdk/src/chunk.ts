import { type ChunkPayload, ShoalError } from '@shoal/scheduler'
import { showAsText } from './inspect.ts'
import type { Chunk } from './types.ts'

/** What handles to chunks need of the mesh that they belong to. */
export interface ChunkKeeper {
  /** Tells meshes apart whose chunks cannot meet. */
  readonly space: string
  /** The value behind a reference, with handles of this mesh in it. */
  fetchChunk(chunk: ChunkPayload): Promise<unknown>
  releaseChunk(chunk: ChunkPayload): void
}

/** A handle that nobody holds any more is released: sooner or later, so `release` is better. */
const forgotten = new FinalizationRegistry<() => void>((release) => release())

/** A user's handle to a chunk. A class for its identity: it is known among arguments and inside values. */
export class ChunkHandle<T> implements Chunk<T> {
  readonly #keeper: ChunkKeeper
  readonly #payload: ChunkPayload
  #isReleased = false

  /** @param payload counts as one handle of this peer from now on */
  constructor(keeper: ChunkKeeper, payload: ChunkPayload) {
    this.#keeper = keeper
    this.#payload = payload
    forgotten.register(this, () => keeper.releaseChunk(payload), this)
  }

  get id(): string {
    return this.#payload.ref.id
  }

  get sizeBytes(): number {
    return this.#payload.ref.sizeBytes
  }

  get home(): string {
    return this.#payload.ref.home
  }

  get space(): string {
    return this.#keeper.space
  }

  /**
   * What crosses in the place of the value.
   * @throws ShoalError `E_CHUNK_REF` when it was released
   */
  get payload(): ChunkPayload {
    if (!this.#isReleased) return this.#payload
    const text = `Cannot use chunk "${this.id}" as its handle must be held: current value is released`
    throw new ShoalError('E_CHUNK_REF', text)
  }

  async get(): Promise<T> {
    return (await this.#keeper.fetchChunk(this.payload)) as T
  }

  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    forgotten.unregister(this)
    this.#keeper.releaseChunk(this.#payload)
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** In logs and string templates. */
  toString(): string {
    return `Chunk(${this.id} ${this.sizeBytes} bytes)`
  }
}

showAsText(ChunkHandle.prototype)
