import { ChunkPayload, heldChunks, type Outcome, type RangeValues } from '@shoal/scheduler'
import { createEmitter } from './emitter.ts'
import { showAsText } from './inspect.ts'
import { type JobBook, type JobFollower, partOf } from './job-book.ts'
import { atTurnEnd } from './microtask.ts'
import { closedReason, completedOf, outcomeError } from './outcome.ts'
import { TaskHandle } from './task.ts'
import type { Chunk, Completed, GroupProgress, TaskGroup } from './types.ts'
import { SliceValues } from './values/index.ts'

/** Members that ended together: one, or a slice, which carries `RangeValues` when it is done. */
interface End {
  readonly index: number
  readonly count: number
  readonly outcome: Outcome
}

/**
 * Many tasks of one job. Holds outcomes by index, not handles: one promise serves all, and a handle is
 * made for a member only when somebody looks at it.
 */
export class GroupHandle<T> implements TaskGroup<T>, JobFollower {
  readonly book: JobBook
  readonly name: string
  #total: number
  /** `false`: the job may still grow. */
  #isComplete: boolean
  /** How each index ended: members that ended together share one. */
  readonly #endOf: (End | undefined)[] = []
  /** In the order in which they came. */
  readonly #ends: End[] = []
  #endedCount = 0
  /** Values that are chunks: kept for as long as this handle. */
  readonly #chunks: Chunk<unknown>[] = []
  #failed = 0
  #firstBad = -1
  /** Task number of each index; `null` while they are the same. */
  readonly #noOf: readonly number[] | null
  readonly #indexOf: readonly number[] | null
  #result: Promise<T[]> | null = null
  #changed: (() => void)[] = []
  readonly #emitter = createEmitter<{ progress: GroupProgress }>()
  #isTelling = false

  /**
   * @param total members known by now; `null`: grows until {@link GroupHandle.complete} is called
   * @param noOf task number of each index, where they differ: members that could not be sent come last
   */
  constructor(book: JobBook, name: string, total: number | null, noOf: readonly number[] | null = null) {
    this.book = book
    this.name = name
    this.#total = total ?? 0
    this.#isComplete = total !== null
    this.#noOf = noOf
    this.#indexOf = noOf === null ? null : indexOf(noOf)
  }

  get jobId(): string {
    return this.book.id
  }

  get progress(): GroupProgress {
    return { done: this.#endedCount - this.#failed, total: this.#total, failed: this.#failed }
  }

  get isFinished(): boolean {
    return this.#isComplete && this.#endedCount === this.#total
  }

  // biome-ignore lint/suspicious/noThenProperty: a group is awaitable by design
  then<R1 = T[], R2 = never>(
    onDone?: ((values: T[]) => R1 | PromiseLike<R1>) | null,
    onFailed?: ((reason: unknown) => R2 | PromiseLike<R2>) | null,
  ): Promise<R1 | R2> {
    return this.fetch().then(onDone, onFailed)
  }

  fetch(): Promise<T[]> {
    this.#result ??= this.#settled()
    return this.#result
  }

  async wait(): Promise<void> {
    while (!this.isFinished) await this.#change()
  }

  on(event: 'progress', listener: (progress: GroupProgress) => void): () => void {
    return this.#emitter.on(event, listener)
  }

  cancel(reason = 'cancelled by its user'): void {
    if (!this.isFinished) this.book.keeper.cancel(this.book.id, null, reason)
  }

  durable(): Promise<void> {
    return this.book.keeper.durable(this.book.id)
  }

  /** Each iteration starts with the member that ended first. */
  [Symbol.asyncIterator](): AsyncIterator<Completed<T>> {
    let at = 0
    let within = 0
    return {
      next: async () => {
        while (at >= this.#ends.length && !this.isFinished) await this.#change()
        const end = this.#ends[at]
        if (end === undefined) return { done: true, value: undefined }
        const index = end.index + within++
        if (within === end.count) {
          at++
          within = 0
        }
        return { done: false, value: await completedOf(index, this.#handle(index)) }
      },
    }
  }

  /** The job has at least this many members. */
  grow(total: number): void {
    if (this.#isComplete || total <= this.#total) return
    this.#total = total
    this.#tell()
  }

  /** Nothing will be added any more. */
  complete(): void {
    if (this.#isComplete) return
    this.#isComplete = true
    this.#tell()
  }

  taskEnded(no: number, outcome: Outcome): void {
    this.end(this.#indexOf === null ? no : (this.#indexOf[no] as number), outcome)
  }

  /** A job of a range has no members that were not sent, so that numbers are indices. */
  sliceEnded(first: number, count: number, outcome: Outcome): void {
    for (let index = first; index < first + count; index++) {
      if (this.#endOf[index] === undefined) continue
      // Told before, one by one.
      for (let other = 0; other < count; other++) this.end(first + other, partOf(outcome, other))
      return
    }
    this.#note({ index: first, count, outcome })
  }

  /** Notes how a member ended; only the first time counts. */
  end(index: number, outcome: Outcome): void {
    if (this.#endOf[index] === undefined) this.#note({ index, count: 1, outcome })
  }

  #note(end: End): void {
    const { index, count, outcome } = end
    for (let other = index; other < index + count; other++) this.#endOf[other] = end
    this.#ends.push(end)
    if (outcome.status === 'done')
      for (const chunk of heldChunks(outcome.value)) this.#chunks.push(this.book.keeper.openChunk(chunk))
    this.#endedCount += count
    if (outcome.status !== 'done') {
      this.#failed += count
      if (this.#firstBad < 0) this.#firstBad = index
    }
    this.#tell()
  }

  jobClosed(): void {
    this.abandon(closedReason)
  }

  /** Nothing more will be heard of the members that have not ended. */
  abandon(reason: string): void {
    this.#isComplete = true
    for (let index = 0; index < this.#total; index++) this.end(index, { status: 'cancelled', reason })
    this.#tell()
  }

  /** In logs and string templates: `TaskGroup(j1 3/10)`. */
  toString(): string {
    const { done, total, failed } = this.progress
    return `TaskGroup(${this.jobId} ${done}/${total}${failed === 0 ? '' : `, ${failed} failed`})`
  }

  async #settled(): Promise<T[]> {
    while (!this.isFinished && this.#firstBad < 0) await this.#change()
    if (this.#firstBad >= 0) {
      const handle = this.#handle(this.#firstBad)
      const outcome = handle.outcome as Exclude<Outcome, { readonly status: 'done' }>
      throw outcomeError(this.book, handle.no, handle.name, outcome)
    }
    const values: T[] = new Array(this.#total)
    const chunks: Promise<void>[] = []
    for (const { index, count, outcome } of this.#ends) {
      const { value } = outcome as Extract<Outcome, { readonly status: 'done' }>
      if (value instanceof ChunkPayload) chunks.push(this.#readChunk(values, index, value))
      else if (count === 1) values[index] = this.book.keeper.read(value) as T
      else if (!(value instanceof SliceValues) || !value.copyTo(values, index)) {
        for (let other = 0; other < count; other++)
          values[index + other] = this.book.keeper.read((value as RangeValues).at(other)) as T
      }
    }
    await Promise.all(chunks)
    return values
  }

  async #readChunk(values: T[], index: number, chunk: ChunkPayload): Promise<void> {
    values[index] = (await this.book.keeper.read(chunk)) as T
  }

  #handle(index: number): TaskHandle<T> {
    const no = this.#noOf === null ? index : (this.#noOf[index] as number)
    const handle = new TaskHandle<T>(this.book, no, this.name)
    const end = this.#endOf[index]
    if (end !== undefined)
      handle.outcome = end.count === 1 ? end.outcome : partOf(end.outcome, index - end.index)
    return handle
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed.push(resolve)
    })
  }

  /** Wakes everybody once per turn, however many members ended in it. */
  #tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    atTurnEnd(() => {
      this.#isTelling = false
      const changed = this.#changed
      this.#changed = []
      for (const wake of changed) wake()
      if (this.#emitter.has('progress')) this.#emitter.emit('progress', this.progress)
    })
  }
}

showAsText(GroupHandle.prototype)

function indexOf(noOf: readonly number[]): number[] {
  const indices: number[] = []
  noOf.forEach((no, index) => {
    indices[no] = index
  })
  return indices
}
