import {
  ChunkPayload,
  innerChunks,
  type JobId,
  PackedPayload,
  type Payload,
  payloadOf,
  type Runtime,
  ShoalError,
  type TaskSpec,
} from '@shoal/scheduler'
import { ChunkHandle, type ChunkKeeper } from './chunk.ts'
import { createHandleCodec } from './handles.ts'
import {
  type HandleCodec,
  isCloneSafe,
  LivePayload,
  packShared,
  packValue,
  unpackValue,
} from './values/index.ts'

type RuntimeChunks = NonNullable<Runtime['chunks']>

/** Arguments on their way, and the chunks whose handles lie inside them. */
export interface PackedArguments {
  readonly payload: Payload
  readonly nested: readonly ChunkPayload[]
}

/** The chunks of one mesh: handles, values, and tasks whose arguments are still being put away. */
export class ChunkBook implements ChunkKeeper {
  readonly space: string
  readonly #runtime: Runtime
  readonly #codec: HandleCodec
  readonly #packer: HandleCodec
  #nested: ChunkPayload[] = []
  /** By job: resolves when what was held back has been handed over. */
  readonly #sending = new Map<JobId, Promise<void>>()
  #hasHandles = false

  readonly #flush: () => void

  /**
   * @param codec reads the handles inside values
   * @param flush hands over what was spawned up to now
   */
  constructor(runtime: Runtime, space: string, codec: HandleCodec, flush: () => void) {
    this.#flush = flush
    this.#runtime = runtime
    this.space = space
    this.#codec = codec
    const plain = createHandleCodec((ref) => ref)
    this.#packer = {
      ...plain,
      toRef: (handle) => {
        const ref = plain.toRef(handle)
        if (ref instanceof ChunkPayload) this.#nested.push(ref)
        return ref
      },
    }
  }

  /** A handle of this peer to a chunk that is kept by now. */
  open(payload: ChunkPayload): ChunkHandle<unknown> {
    this.#chunks.open(payload)
    return this.#handle(payload)
  }

  async put(value: unknown): Promise<ChunkHandle<unknown>> {
    this.#nested = []
    return this.putPayload(payloadOf(packValue(value, this.#packer), this.#nested))
  }

  /** The value of a payload that is no chunk, as one. */
  async putPayload(payload: Payload): Promise<ChunkHandle<unknown>> {
    const bytes = payload instanceof PackedPayload ? payload.bytes : payload.pack()
    const inner = innerChunks(payload)
    // Hashing takes a while: until the new chunk keeps them, this peer does.
    for (const chunk of inner) this.#chunks.open(chunk)
    try {
      return this.#handle(await this.#chunks.put(bytes, inner))
    } finally {
      for (const { ref } of inner) this.#chunks.release(ref.id)
    }
  }

  async fetchChunk(chunk: ChunkPayload): Promise<unknown> {
    return unpackValue(await this.#chunks.fetch(chunk), this.#codec)
  }

  /** What was spawned before it counts: the tasks keep their chunks from the time they are handed over. */
  releaseChunk(chunk: ChunkPayload): void {
    this.#flush()
    const sending = [...this.#sending.values()]
    const release = (): void => this.#chunks.release(chunk.ref.id)
    if (sending.length === 0) release()
    else void Promise.all(sending).then(release)
  }

  /**
   * @param isLive values need not be packed
   * @throws ShoalError as `packValue`
   */
  pack(args: unknown[], isLive: boolean): PackedArguments {
    if (isLive && (!this.#hasHandles || isCloneSafe(args)))
      return { payload: new LivePayload(args), nested: none }
    this.#nested = []
    const payload = new PackedPayload(packShared(args, this.#packer))
    return { payload, nested: this.#nested }
  }

  /** Hands tasks over: at once, or once their big arguments are chunks of this peer. */
  submit(job: JobId, name: string, specs: readonly TaskSpec[]): void {
    const isBig = specs.some(({ args }) => this.#isBig(args))
    if (!isBig) this.after(job, () => this.#runtime.submit(job, name, specs))
    else
      this.#send(job, async () => {
        const made: ChunkPayload[] = []
        const shrunk = await Promise.all(specs.map((spec) => this.#shrink(spec, made)))
        this.#runtime.submit(job, name, shrunk)
        // From now on the tasks keep them.
        for (const chunk of made) this.#chunks.release(chunk.ref.id)
      })
  }

  /** Runs `action` after what was submitted to the job before. */
  after(job: JobId, action: () => void): void {
    if (this.#sending.has(job)) this.#send(job, async () => action())
    else action()
  }

  #send(job: JobId, action: () => Promise<void>): void {
    const sent = (this.#sending.get(job) ?? Promise.resolve()).then(action)
    this.#sending.set(job, sent)
    void sent.then(() => {
      if (this.#sending.get(job) === sent) this.#sending.delete(job)
    })
  }

  #isBig(args: Payload): args is PackedPayload {
    return args instanceof PackedPayload && args.bytes.length > (this.#runtime.chunks?.fromBytes ?? Infinity)
  }

  async #shrink(spec: TaskSpec, made: ChunkPayload[]): Promise<TaskSpec> {
    const { args } = spec
    if (!this.#isBig(args)) return spec
    try {
      const chunk = await this.#chunks.put(args.bytes)
      made.push(chunk)
      return { ...spec, args: chunk }
    } catch {
      // No room: they travel with the task.
      return spec
    }
  }

  get #chunks(): RuntimeChunks {
    const { chunks } = this.#runtime
    if (chunks !== null) return chunks
    throw new ShoalError(
      'E_CHUNK_REF',
      'Cannot use chunks as this peer must keep some: current value is none',
    )
  }

  #handle(payload: ChunkPayload): ChunkHandle<unknown> {
    this.#hasHandles = true
    return new ChunkHandle(this, payload)
  }
}

const none: readonly ChunkPayload[] = Object.freeze([])
