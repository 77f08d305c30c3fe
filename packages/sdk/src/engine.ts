import {
  ChunkPayload,
  type Clock,
  type JobId,
  type OperationStore,
  type Outcome,
  type Payload,
  type PeerRole,
  parseTaskId,
  type RangeItems,
  type Runtime,
  type ServiceId,
  ShoalError,
  type TaskRef,
  type TaskSpec,
  type TaskStatus,
} from '@shoal/scheduler'
import { prepareArguments, type ReadyArguments } from './arguments.ts'
import { ChunkBook } from './chunk-book.ts'
import { type FollowedJobs, followJobs } from './followed-jobs.ts'
import { createHandleCodec } from './handles.ts'
import type { TaskInterest } from './interest.ts'
import { type BookKeeper, JobBook } from './job-book.ts'
import { type Operation, toOperation } from './operation.ts'
import { closedReason } from './outcome.ts'
import { isRange, itemsOf, notPlain, rangeOf, rowOf, withNumbers } from './ranges.ts'
import { endOfTurn } from './runtime-parts.ts'
import { ServiceBook } from './service-book.ts'
import { createSession, type Session } from './session.ts'
import { numbers, specOf } from './specs.ts'
import { TaskHandle } from './task.ts'
import { GroupHandle } from './task-group.ts'
import { createTaskNames, type TaskNames } from './task-names.ts'
import type { Chunk, MapOptions } from './types.ts'
import {
  type HandleCodec,
  type HandleRef,
  isCloneSafe,
  payloadValue,
  registerHandleCodec,
} from './values/index.ts'
import type { ResolvedOptions, View } from './view.ts'

type AnyOperation = Operation<readonly unknown[], unknown>

/** What a mesh is made of. */
export interface EngineParts {
  readonly runtime: Runtime
  readonly operations: Pick<OperationStore, 'add' | 'get'>
  readonly role: PeerRole
  readonly clock: Clock
  /** The room's public name; `null` for a local mesh, whose values stay live. */
  readonly room: string | null
  readonly interest: TaskInterest
  /** Resolves when what is known here of a job outlives this peer; `null` where nothing can. */
  readonly durable: ((job: JobId) => Promise<void>) | null
}

let enginesMade = 0

/** Random letters and digits, for ids that are never used twice. */
function randomText(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length))
  return Array.from(bytes, (byte) => (byte % 36).toString(36)).join('')
}

/**
 * Makes tasks and follows them: the half of a mesh that views share. A class for its lifetime: it holds
 * everything that waits until it ends or the mesh is closed.
 */
export class Engine implements BookKeeper {
  readonly space: string
  readonly runtime: Runtime
  readonly services: ServiceBook
  readonly chunks: ChunkBook
  readonly #parts: EngineParts
  readonly #codec: HandleCodec
  readonly #session: Session
  readonly #books = new Map<JobId, JobBook>()
  readonly #followed: FollowedJobs
  readonly #names: TaskNames
  /** Operations that were put into the store. */
  readonly #known = new Set<string>()
  readonly #idPrefix: string
  /** Tasks that ended before they could be sent. */
  readonly #unsent: JobBook
  #jobsMade = 0
  #servicesMade = 0
  #unsentMade = 0
  #isClosed = false
  readonly #stop: (() => void)[]

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.runtime = parts.runtime
    this.space = parts.room ?? `local-${++enginesMade}`
    this.#idPrefix = `${parts.runtime.self.slice(0, 6)}-${randomText(8)}`
    this.#codec = createHandleCodec((ref) => this.#handleOf(ref))
    this.#followed = followJobs(parts)
    this.#names = createTaskNames(parts)
    this.chunks = new ChunkBook(parts.runtime, this.space, this.#codec, () => this.#session.flush())
    this.services = new ServiceBook({
      ...parts,
      newId: () => `${this.#idPrefix}-s${(this.#servicesMade++).toString(36)}`,
      read: (payload) => this.read(payload),
    })
    registerHandleCodec(packingCodec)
    this.#unsent = new JobBook(this, this.#newJobId(), 'not sent', true)
    this.#session = createSession({
      runtime: parts.runtime,
      chunks: this.chunks,
      clock: parts.clock,
      itemsOf: (rows, isSingle) => itemsOf(rows, isSingle, parts.room !== null),
      openBook: (name) => this.#openBook(this.#newJobId(), name, true),
      closeBook: (book) => this.#dropIfIdle(book, true),
    })
    this.#stop = [
      parts.runtime.onSettled(
        (ref, outcome) => this.#settled(ref, outcome),
        (ref, count, outcome) => this.#sliceSettled(ref, count, outcome),
      ),
      () => this.#followed.close(),
    ]
  }

  /**
   * Makes a task and returns at once.
   * @throws ShoalError `E_CODE`, `E_FORBIDDEN`, `E_CLOSED`, `E_FOREIGN_TASK`
   */
  spawn(view: View, spawnable: unknown, args: unknown[]): TaskHandle<unknown> {
    this.#assertMaySpawn()
    const operation = toOperation(spawnable)
    const options = view.optionsFor(operation)
    const name = options.record.name ?? operation.name
    const aborted = options.signal?.reason() ?? null
    // Handles are not plain: nothing has to be looked for in such arguments.
    const isPlain = options.isPlain && aborted === null && isCloneSafe(args)
    const row = isPlain ? rowOf(args, this.#parts.room !== null) : notPlain
    if (row !== notPlain) return this.#spawnPlain(view, operation, options, name, row, args.length === 1)
    const ready = aborted === null ? this.#prepare(operation, args, options) : cancelled(aborted)
    if ('status' in ready) return this.#unsentTask(name, ready)
    this.#addOperation(operation)
    const handle = this.#nextHandle(view, options, name)
    this.#session.submit(specOf(handle.no, operation, ready, options.record))
    return handle
  }

  #spawnPlain(
    view: View,
    operation: AnyOperation,
    options: ResolvedOptions,
    name: string,
    row: unknown,
    isSingle: boolean,
  ): TaskHandle<unknown> {
    this.#addOperation(operation)
    const handle = this.#nextHandle(view, options, name)
    const { record } = options
    const { hash } = operation.record
    this.#session.submitPlain({ no: handle.no, operation: hash, options: record, row, isSingle })
    return handle
  }

  /** The handle of the session's next task. */
  #nextHandle(view: View, { signal }: ResolvedOptions, name: string): TaskHandle<unknown> {
    const book = this.#session.open()
    const handle = new TaskHandle<unknown>(book, this.#session.number(), name)
    book.add(handle)
    signal?.add(handle)
    view.note(handle)
    return handle
  }

  /**
   * Makes one job of all items.
   * @throws ShoalError as {@link Engine.spawn}
   */
  map(view: View, spawnable: unknown, items: Iterable<unknown>, callSite?: MapOptions): GroupHandle<unknown> {
    this.#assertMaySpawn()
    const operation = toOperation(spawnable)
    const options = view.optionsFor(operation, callSite)
    const name = options.record.name ?? operation.name
    this.#addOperation(operation)
    const aborted = options.signal?.reason() ?? null
    const row = items instanceof Float64Array ? items.slice() : [...items]
    const range = isRange(operation, options, row) ? rangeOf(row, this.#parts.room !== null) : null
    if (range !== null) return this.#mapRange(view, operation, options, name, range)
    const specs: TaskSpec[] = []
    const ended: { index: number; outcome: Outcome }[] = []
    let total = 0
    for (const item of row) {
      const ready = aborted === null ? this.#prepare(operation, [item], options) : cancelled(aborted)
      if ('status' in ready) ended.push({ index: total, outcome: ready })
      else specs.push(specOf(specs.length, operation, ready, options.record))
      total++
    }
    const group = this.#openGroup(name, specs, total, ended)
    options.signal?.add(group)
    view.note(group)
    return group
  }

  #mapRange(
    view: View,
    operation: AnyOperation,
    options: ResolvedOptions,
    name: string,
    items: RangeItems,
  ): GroupHandle<unknown> {
    const book = this.#openBook(this.#newJobId(), name, true)
    const group = new GroupHandle<unknown>(book, name, items.count)
    book.follow(group)
    this.#session.flush()
    const { hash } = operation.record
    const range = { first: 0, operation: hash, options: options.record, items }
    this.runtime.submitRange(book.id, name, range)
    this.runtime.seal(book.id)
    options.signal?.add(group)
    view.note(group)
    return group
  }

  /** The handle of any task of the room. */
  task(ref: TaskRef): TaskHandle<unknown> {
    const book = this.#bookOf(ref.job)
    const known = book.handle(ref.no)
    if (known !== undefined) return known
    const handle = new TaskHandle<unknown>(book, ref.no, this.taskName(ref.job, ref.no) ?? 'task')
    const outcome = this.#isClosed ? cancelled(closedReason) : this.runtime.outcomeOf(ref)
    if (outcome !== null) {
      handle.settle(outcome)
      this.#dropIfIdle(book)
      return handle
    }
    book.add(handle)
    this.runtime.watch([ref])
    return handle
  }

  /** @throws ShoalError `E_TASK_ID` when the text names no task */
  taskById(id: string): TaskHandle<unknown> {
    const ref = parseTaskId(id)
    if (ref !== null) return this.task(ref)
    throw new ShoalError(
      'E_TASK_ID',
      `Cannot find a task as its id must be "<job>/<number>": current value is "${id}"`,
    )
  }

  /** Follows a whole job of the room, until it ends. */
  group(job: JobId): GroupHandle<unknown> {
    const book = this.#bookOf(job)
    const group = new GroupHandle<unknown>(book, book.name, null)
    book.follow(group)
    if (this.#isClosed) {
      group.jobClosed()
      return group
    }
    this.#followed.add(job, group)
    return group
  }

  statusOf(job: JobId, no: number): TaskStatus {
    return this.runtime.statusOf({ job, no })
  }

  cancel(job: JobId, nos: readonly number[] | null, reason: string): void {
    this.#session.flush()
    this.chunks.after(job, () => this.runtime.cancel(job, nos, reason))
  }

  async durable(job: JobId): Promise<void> {
    // What was never sent ended here.
    if (job === this.#unsent.id) return
    const { durable, clock } = this.#parts
    if (durable === null) {
      const text = 'Cannot make work durable as the mesh must be in a room: current value is a local mesh'
      throw new ShoalError('E_STORAGE', text)
    }
    this.#session.flush()
    // The runtime hands over to the documents at the end of the turn.
    await endOfTurn(clock)
    await durable(job)
  }

  story(key: string): readonly string[] {
    return this.runtime.story(key)
  }

  peerLabel(id: string): string {
    return this.#names.peer(id)
  }

  taskName(job: JobId, no: number): string | null {
    return this.#names.task(job, no)
  }

  openChunk(payload: ChunkPayload): Chunk<unknown> {
    return this.chunks.open(payload)
  }

  putChunk(payload: Payload): Promise<Chunk<unknown>> {
    return this.chunks.putPayload(payload)
  }

  /**
   * Puts a value on this peer.
   * @throws ShoalError `E_FORBIDDEN`, `E_CLOSED`, `E_NOT_SERIALIZABLE`, `E_TOO_LARGE`, `E_QUOTA`
   */
  async put(value: unknown): Promise<Chunk<unknown>> {
    this.#assertMaySpawn('put a value')
    return this.chunks.put(value)
  }

  read(payload: Payload): unknown {
    if (payload instanceof ChunkPayload) return this.chunks.fetchChunk(payload)
    return payloadValue(payload, this.#codec)
  }

  /** Seals what is open: it can end without this peer. */
  seal(): void {
    this.#session.close()
  }

  /** Everything that still waits ends as closed. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const stop of this.#stop) stop()
    this.services.close()
    const books = [...this.#books.values()]
    this.#books.clear()
    for (const book of books) book.close(cancelled(closedReason))
  }

  #handleOf(ref: HandleRef): unknown {
    if (ref instanceof ChunkPayload) return this.chunks.open(ref)
    return 'service' in ref ? this.services.handle(ref.service as ServiceId) : this.task(ref)
  }

  #assertMaySpawn(what = 'spawn a task'): void {
    if (this.#isClosed)
      throw new ShoalError('E_CLOSED', `Cannot ${what} as the mesh must be open: current value is closed`)
    if (this.#parts.role !== 'contributor') return
    throw new ShoalError(
      'E_FORBIDDEN',
      `Cannot ${what} as this peer must be a member (join with a member invite): current value is contributor`,
    )
  }

  #prepare(operation: AnyOperation, given: unknown[], { after }: ResolvedOptions): ReadyArguments | Outcome {
    const origin = { job: this.#unsent.id, no: this.#unsentMade }
    return prepareArguments(operation, given, after, {
      chunks: this.chunks,
      origin,
      isLive: this.#parts.room === null,
    })
  }

  #unsentTask(name: string, outcome: Outcome): TaskHandle<unknown> {
    const handle = new TaskHandle<unknown>(this.#unsent, this.#unsentMade++, name)
    handle.settle(outcome)
    return handle
  }

  #addOperation(operation: AnyOperation): void {
    const { hash } = operation.record
    if (this.#known.has(hash)) return
    this.#known.add(hash)
    this.#parts.operations.add(operation.record)
  }

  #openGroup(
    name: string,
    specs: readonly TaskSpec[],
    total: number,
    ended: readonly { index: number; outcome: Outcome }[],
  ): GroupHandle<unknown> {
    const book = this.#openBook(this.#newJobId(), name, true)
    const group = new GroupHandle<unknown>(
      book,
      name,
      total,
      ended.length === 0 ? null : numbers(total, ended),
    )
    for (const { index, outcome } of ended) group.end(index, outcome)
    if (specs.length === 0) {
      this.#books.delete(book.id)
      return group
    }
    book.follow(group)
    this.#session.flush()
    this.chunks.submit(book.id, name, specs)
    this.chunks.after(book.id, () => this.runtime.seal(book.id))
    return group
  }

  #newJobId(): JobId {
    return `${this.#idPrefix}-${(this.#jobsMade++).toString(36)}` as JobId
  }

  #openBook(id: JobId, name: string, isOwn: boolean): JobBook {
    const book = new JobBook(this, id, name, isOwn)
    this.#books.set(id, book)
    return book
  }

  #bookOf(job: JobId): JobBook {
    const name = (): string => this.runtime.jobs().find(({ id }) => id === job)?.name ?? 'job'
    return this.#books.get(job) ?? this.#openBook(job, name(), false)
  }

  #settled(ref: TaskRef, outcome: Outcome): void {
    const book = this.#books.get(ref.job)
    if (book === undefined) return
    book.settle(ref.no, outcome)
    this.#closeIfIdle(book)
  }

  #sliceSettled(ref: TaskRef, count: number, outcome: Outcome): void {
    const book = this.#books.get(ref.job)
    if (book === undefined) return
    book.settleSlice(ref.no, count, withNumbers(outcome))
    this.#closeIfIdle(book)
  }

  #closeIfIdle(book: JobBook): void {
    if (!book.isIdle) return
    if (this.#session.isOpen(book)) this.#session.becameIdle()
    else this.#books.delete(book.id)
  }

  #dropIfIdle(book: JobBook, isSealed = false): void {
    if (book.isIdle && (isSealed || !this.#session.isOpen(book))) this.#books.delete(book.id)
  }
}

/** For packing only: which mesh reads the reference is not known there. */
const packingCodec: HandleCodec = createHandleCodec((ref) => ref)

function cancelled(reason: string): Outcome {
  return { status: 'cancelled', reason }
}
