import {
  ChunkPayload,
  heldChunks,
  type Outcome,
  type TaskRef,
  type TaskStatus,
  taskIdOf,
} from '@shoal/scheduler'
import { showAsText } from './inspect.ts'
import type { JobBook } from './job-book.ts'
import { outcomeError } from './outcome.ts'
import type { Chunk, Task } from './types.ts'

const noChunks: readonly Chunk<unknown>[] = Object.freeze([])

/**
 * The handle of one task. A class, so that ten thousand of them are cheap: a promise, an id or an error
 * is made only when somebody asks.
 */
export class TaskHandle<T> implements Task<T> {
  readonly book: JobBook
  readonly no: number
  /** For messages: the operation's name or the task's own. */
  readonly name: string
  outcome: Outcome | null = null
  /** The value, where it is a chunk, or those inside it: kept for as long as this handle. */
  held: readonly Chunk<unknown>[] = noChunks
  #result: Promise<T> | null = null
  #waiting: { resolve(value: T): void; reject(reason: unknown): void } | null = null
  /** One listener needs no array: that is nearly always so. */
  #ended: (() => void) | (() => void)[] | null = null

  constructor(book: JobBook, no: number, name: string) {
    this.book = book
    this.no = no
    this.name = name
  }

  get id(): string {
    return taskIdOf(this.ref)
  }

  get ref(): TaskRef {
    return { job: this.book.id, no: this.no }
  }

  get status(): TaskStatus {
    return this.outcome?.status ?? this.book.statusOf(this.no)
  }

  get isFinished(): boolean {
    return this.outcome !== null
  }

  isReady(): boolean {
    return this.outcome !== null
  }

  // biome-ignore lint/suspicious/noThenProperty: a task is awaitable by design
  then<R1 = T, R2 = never>(
    onDone?: ((value: T) => R1 | PromiseLike<R1>) | null,
    onFailed?: ((reason: unknown) => R2 | PromiseLike<R2>) | null,
  ): Promise<R1 | R2> {
    return this.fetch().then(onDone, onFailed)
  }

  fetch(): Promise<T> {
    this.#result ??= new Promise<T>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      if (this.outcome !== null) this.#deliver(this.outcome)
    })
    return this.#result
  }

  wait(): Promise<void> {
    return new Promise((resolve) => this.whenEnded(resolve))
  }

  cancel(reason = 'cancelled by its user'): void {
    if (this.outcome === null) this.book.cancel(this.no, reason)
  }

  durable(): Promise<void> {
    return this.book.keeper.durable(this.book.id)
  }

  async chunk(): Promise<Chunk<T>> {
    await this.wait()
    const outcome = this.outcome as Outcome
    if (outcome.status !== 'done') throw outcomeError(this.book, this.no, this.name, outcome)
    const { keeper } = this.book
    const { value } = outcome
    const chunk = value instanceof ChunkPayload ? keeper.openChunk(value) : await keeper.putChunk(value)
    return chunk as Chunk<T>
  }

  explain(): readonly string[] {
    return this.book.story(this.no)
  }

  /** Calls back once the task has ended: at once when it has. */
  whenEnded(listener: () => void): void {
    if (this.outcome !== null) listener()
    else if (this.#ended === null) this.#ended = listener
    else if (typeof this.#ended === 'function') this.#ended = [this.#ended, listener]
    else this.#ended.push(listener)
  }

  /** The first outcome stays: what somebody saw never changes. */
  settle(outcome: Outcome): void {
    if (this.outcome !== null) return
    this.outcome = outcome
    if (outcome.status === 'done') {
      const held = heldChunks(outcome.value)
      if (held.length > 0) this.held = held.map((chunk) => this.book.keeper.openChunk(chunk))
    }
    if (this.#waiting !== null) this.#deliver(outcome)
    const ended = this.#ended
    this.#ended = null
    if (typeof ended === 'function') ended()
    else if (ended !== null) for (const listener of ended) listener()
  }

  /** In logs and string templates: `Task(j1/3 done)`. */
  toString(): string {
    return `Task(${this.id} ${this.status})`
  }

  #deliver(outcome: Outcome): void {
    const waiting = this.#waiting
    this.#waiting = null
    try {
      // A value that is a handle itself flattens here, as promises do.
      if (outcome.status === 'done') waiting?.resolve(this.book.keeper.read(outcome.value) as T)
      else waiting?.reject(outcomeError(this.book, this.no, this.name, outcome))
    } catch (error) {
      waiting?.reject(error)
    }
  }
}

showAsText(TaskHandle.prototype)
