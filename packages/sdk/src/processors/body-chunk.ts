import type { ChunkPayload } from '@shoal/scheduler'
import { describeHandle } from '../service-call.ts'
import type { Chunk } from '../types.ts'

/** A chunk as a body sees it: a handle that came in a value, held for as long as the body runs. */
export class BodyChunk implements Chunk<unknown> {
  readonly payload: ChunkPayload
  readonly #fetch: (chunk: ChunkPayload) => Promise<unknown>

  constructor(payload: ChunkPayload, fetch: (chunk: ChunkPayload) => Promise<unknown>) {
    this.payload = payload
    this.#fetch = fetch
  }

  get id(): string {
    return this.payload.ref.id
  }

  get sizeBytes(): number {
    return this.payload.ref.sizeBytes
  }

  get home(): string {
    return this.payload.ref.home
  }

  get(): Promise<unknown> {
    return this.#fetch(this.payload)
  }

  /** The task holds it. */
  release(): void {}

  [Symbol.dispose](): void {}
}

describeHandle(BodyChunk.prototype, 'the handle of a chunk')
