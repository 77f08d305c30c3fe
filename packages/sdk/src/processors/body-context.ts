import {
  ChunkPayload,
  type ErrorRecord,
  type Need,
  noNeeds,
  type OperationRecord,
  payloadOf,
  readChunkReference,
  ShoalError,
  type TaskRef,
  taskIdOf,
} from '@shoal/scheduler'
import { markContext } from '../code/index.ts'
import type { TaskContext } from '../context.ts'
import { CancelledError } from '../errors.ts'
import { openFields } from '../kernel-arguments.ts'
import { serviceProxy } from '../service-call.ts'
import { errorFromRecord, errorToRecord, type HandleCodec, packValue, unpackValue } from '../values/index.ts'
import { BodyChunk } from './body-chunk.ts'
import { type BodyOperation, createBodyMesh } from './body-mesh.ts'
import { BodyServiceCall } from './body-service.ts'
import { BodyTask, type TaskHolder, Unnumbered } from './body-task.ts'
import type { CallExtra, FromWorker, WireAnswer, WireOutcome, WireSpawn, WireValue } from './protocol.ts'
import { fromWireValue, toWireValue } from './wire-value.ts'

/** A body's call of a service. */
export interface BodyCall {
  readonly service: string
  readonly method: string
  readonly args: WireValue
}

/** What a body's context needs of the worker around it. */
export interface BodyLink {
  readonly processor: string
  post(message: FromWorker): void
  /** Remembers who wants to know of this outcome. */
  watch(task: BodyTask): void
  /** The records among these that the host has not seen from this worker. */
  unseen(operation: OperationRecord): boolean
  /** Calls a service of the room. */
  callService(callId: number, call: BodyCall, onAnswer: (answer: WireAnswer) => void): void
  /** The body waits for tasks: others may run. */
  yielded(callId: number): void
}

/**
 * One running body's side of the mesh: its children, its waiting, its signal. Made only for bodies that
 * take a context or were given handles. A class for its lifetime: it lives as long as the body.
 */
export class BodyContext implements TaskHolder {
  readonly callId: number
  readonly codec: HandleCodec
  readonly stopped: Promise<never>
  readonly #extra: CallExtra | null
  readonly #link: BodyLink
  readonly #children = new Map<number, BodyTask>()
  readonly #outbox: WireSpawn[] = []
  readonly #operations: OperationRecord[] = []
  readonly #deferred = new Set<Promise<void>>()
  /** Handles of services that the body was given, with their ids. */
  readonly #services = new WeakMap<object, string>()
  readonly #abort = new AbortController()
  #rejectStopped: (error: Error) => void = () => {}
  readonly #chunkAsks = new Map<number, ChunkAsk>()
  /** Chunks whose handles were packed last. */
  #nested: ChunkPayload[] = []
  #nextChunkAsk = 0
  #nextSeq = 0
  #waits = 0

  constructor(callId: number, extra: CallExtra | null, link: BodyLink) {
    this.callId = callId
    this.#extra = extra
    this.#link = link
    this.stopped = new Promise((_, reject) => {
      this.#rejectStopped = reject
    })
    this.stopped.catch(() => {})
    this.codec = {
      isHandle: (value) =>
        value instanceof BodyTask || value instanceof BodyChunk || this.#services.has(value),
      toRef: (handle) => {
        if (handle instanceof BodyChunk) {
          this.#nested.push(handle.payload)
          return handle.payload
        }
        const service = this.#services.get(handle)
        if (service !== undefined) return { service }
        return (handle as BodyTask).requireRef()
      },
      fromRef: (ref) => {
        if (ref instanceof ChunkPayload) return new BodyChunk(ref, (chunk) => this.fetchChunk(chunk))
        return 'service' in ref ? this.#service(ref.service) : new BodyTask(this, ref)
      },
    }
  }

  /** What the body gets as its first argument. */
  public(): TaskContext {
    const { job, no, attempt } = this.#requireExtra()
    const taskId = taskIdOf({ job, no })
    const context = {
      mesh: createBodyMesh({
        spawn: (operation, args) => this.#spawn(operation, args),
        put: (value) => this.#put(value),
      }),
      signal: this.#abort.signal,
      progress: (fraction: number) => this.#progress(fraction),
      idempotencyKey: taskId,
      attempt,
      processor: this.#link.processor,
      log: (...values: readonly unknown[]) => console.log(`[task ${taskId}]`, ...values),
      withContext: markContext,
    }
    return context as unknown as TaskContext
  }

  /** Asks the body to stop: its signal aborts, and what it waits for rejects. */
  stop(reason: string): void {
    const error = new CancelledError(this.#extra === null ? null : taskIdOf(this.#extra), reason)
    this.#abort.abort(error)
    this.#rejectStopped(error)
  }

  accepted(accepted: readonly { readonly seq: number; readonly no: number }[]): void {
    const { job } = this.#requireExtra()
    for (const { seq, no } of accepted) this.#children.get(seq)?.accept({ job, no })
  }

  /** Everything that the body spawned is on its way. */
  async flushed(): Promise<void> {
    while (this.#deferred.size > 0) await Promise.all(this.#deferred)
    this.#flush()
  }

  get hasDeferred(): boolean {
    return this.#deferred.size > 0
  }

  /** Sends the requests that wait for the end of the turn now. */
  flushNow(): void {
    this.#flush()
  }

  watch(task: BodyTask): void {
    this.#link.watch(task)
  }

  cancel(ref: TaskRef, reason: string): void {
    this.#link.post({ type: 'cancel', ref, reason })
  }

  /** The value behind a handle; others may run meanwhile. */
  async fetchChunk(chunk: ChunkPayload): Promise<unknown> {
    this.wait(true)
    try {
      return unpackValue(await this.#askForChunk('chunk', chunk.pack()), this.codec)
    } finally {
      this.wait(false)
    }
  }

  async #put(value: unknown): Promise<BodyChunk> {
    this.#requireExtra()
    const reference = await this.#askForChunk('put', await this.#packed(value))
    return new BodyChunk(readChunkReference(reference), (chunk) => this.fetchChunk(chunk))
  }

  /** Packs a value with the names of the chunks whose handles lie in it, so that they are kept with it. */
  pack(value: unknown, packer: typeof packValue): Uint8Array {
    this.#nested = []
    return payloadOf(packer(value, this.codec), this.#nested).pack()
  }

  /** Packs a value as soon as all tasks that it names have numbers. */
  async #packed(value: unknown): Promise<Uint8Array> {
    for (;;) {
      try {
        return this.pack(value, packValue)
      } catch (error) {
        if (!(error instanceof Unnumbered)) throw error
        await error.task.numbered
      }
    }
  }

  #askForChunk(type: 'chunk' | 'put', bytes: Uint8Array): Promise<Uint8Array> {
    const key = this.#nextChunkAsk++
    const came = new Promise<Uint8Array>((resolve, reject) => this.#chunkAsks.set(key, { resolve, reject }))
    this.#link.post({ type, callId: this.callId, key, bytes })
    return Promise.race([came, this.stopped])
  }

  chunkCame(key: number, value: Uint8Array | null, error: ErrorRecord | null): void {
    const ask = this.#chunkAsks.get(key)
    this.#chunkAsks.delete(key)
    if (value !== null) ask?.resolve(value)
    else if (error !== null) ask?.reject(errorFromRecord(error))
  }

  wait(isWaiting: boolean): void {
    this.#waits += isWaiting ? 1 : -1
    if (isWaiting && this.#waits === 1) {
      this.#flush()
      this.#link.post({ type: 'yield', callId: this.callId })
      this.#link.yielded(this.callId)
    }
    if (!isWaiting && this.#waits === 0) this.#link.post({ type: 'resume', callId: this.callId })
  }

  read(value: Extract<WireOutcome, { readonly status: 'done' }>['value']): unknown {
    return fromWireValue(value, this.codec)
  }

  #service(id: string): object {
    const describe = (): string => `Service(${id})`
    const proxy = serviceProxy(Object.freeze({ id }), describe, (method, args) => {
      const call = new BodyServiceCall(this)
      this.#callService(id, method, args, call)
      return call
    })
    this.#services.set(proxy, id)
    return proxy
  }

  /** Sends the call as soon as all tasks that its arguments name have numbers. */
  #callService(id: string, method: string, args: unknown[], call: BodyServiceCall): void {
    try {
      const wire = { service: id, method, args: toWireValue(args, this.codec) }
      this.#link.callService(this.callId, wire, (answer) => call.settle(answer))
    } catch (error) {
      if (error instanceof Unnumbered)
        void error.task.numbered.then(() => this.#callService(id, method, args, call))
      else call.settle({ status: 'failed', error: errorToRecord(error) })
    }
  }

  #spawn(operation: BodyOperation, args: readonly unknown[]): BodyTask {
    const task = new BodyTask(this, null)
    const seq = this.#nextSeq++
    this.#children.set(seq, task)
    this.#prepare(seq, task, operation, args)
    return task
  }

  /** Puts the request into the outbox as soon as all tasks that it names have numbers. */
  #prepare(seq: number, task: BodyTask, operation: BodyOperation, args: readonly unknown[]): void {
    const { record } = operation
    let request: WireSpawn
    try {
      request = this.#request(seq, operation, args)
    } catch (error) {
      if (!(error instanceof Unnumbered)) {
        task.refuse(error)
        return
      }
      const retry: Promise<void> = error.task.numbered.then(() => {
        this.#deferred.delete(retry)
        this.#prepare(seq, task, operation, args)
      })
      this.#deferred.add(retry)
      return
    }
    if (this.#outbox.length === 0) queueMicrotask(() => this.#flush())
    if (this.#link.unseen(record)) this.#operations.push(record)
    this.#outbox.push(request)
  }

  #request(seq: number, { record, options }: BodyOperation, given: readonly unknown[]): WireSpawn {
    let needs: Need[] | null = null
    const chunks: { index: number; chunk: Uint8Array }[] = []
    const plain = openFields(record, given, isWaiting).map((arg, index) => {
      if (arg instanceof BodyChunk) {
        chunks.push({ index, chunk: arg.payload.pack() })
        return undefined
      }
      if (!(arg instanceof BodyTask)) return arg
      needs ??= []
      needs.push({ index, task: arg.requireRef() })
      return undefined
    })
    this.#nested = []
    const wire: WireValue = toWireValue(plain, this.codec)
    for (const chunk of this.#nested) chunks.push({ index: -1, chunk: chunk.pack() })
    return { seq, operation: record.hash, args: wire, needs: needs ?? noNeeds, chunks, options }
  }

  #flush(): void {
    if (this.#outbox.length === 0) return
    const { job, no, attempt } = this.#requireExtra()
    const requests = this.#outbox.splice(0)
    const operations = this.#operations.splice(0)
    this.#link.post({ type: 'spawn', callId: this.callId, job, no, attempt, requests, operations })
  }

  #progress(fraction: number): void {
    if (!(fraction >= 0 && fraction <= 1)) {
      const message = `Cannot tell progress as it must be from 0 to 1: current value is ${fraction}`
      throw new ShoalError('E_OPTION', message)
    }
    this.#link.post({ type: 'progress', callId: this.callId, fraction })
  }

  #requireExtra(): CallExtra {
    if (this.#extra !== null) return this.#extra
    throw new ShoalError(
      'E_INVARIANT',
      'Cannot use a context as the call must carry its task: current value is none',
    )
  }
}

interface ChunkAsk {
  resolve(value: Uint8Array): void
  reject(error: unknown): void
}

/** A task or a chunk: as an argument it becomes its value. */
function isWaiting(arg: unknown): boolean {
  return arg instanceof BodyTask || arg instanceof BodyChunk
}
