import {
  ChunkPayload,
  type JobId,
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
import { handleText, serviceProxy } from '../service-call.ts'
import {
  errorToRecord,
  type HandleCodec,
  packValue,
  registerHandleCodec,
  unpackValue,
} from '../values/index.ts'
import { BodyChunk } from './body-chunk.ts'
import { type BodyOperation, createBodyMesh } from './body-mesh.ts'
import { BodyServiceCall } from './body-service.ts'
import { BodyTask, type TaskHolder, Unnumbered } from './body-task.ts'
import type { Spawner } from './body-waits.ts'
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
  /** A service: what it was given may be used long after the call with which it came. */
  readonly isService: boolean
  /** The call of a service that runs; 0: none. */
  readonly present: number
  post(message: FromWorker): void
  /** Remembers who wants to know of this outcome. */
  watch(task: BodyTask): void
  /** The records among these that the host has not seen from this worker. */
  unseen(operation: OperationRecord): boolean
  /** Calls a service of the room. */
  callService(callId: number, call: BodyCall, onAnswer: (answer: WireAnswer) => void): void
  /** The packed value of a chunk, or the packed reference of what is put. */
  askForChunk(callId: number, type: 'chunk' | 'put', bytes: Uint8Array): Promise<Uint8Array>
  /** Will be told which numbers its tasks got. */
  spawned(spawner: Spawner): void
  /** The body waits for tasks: others may run. */
  yielded(callId: number): void
}

/** Handles of services that bodies of this worker were given, with their ids. */
const services = new WeakMap<object, string>()

/** What handles are packed as; where a body has a context, see {@link BodyContext.codec}. */
registerHandleCodec({
  isHandle,
  toRef(handle) {
    if (handle instanceof BodyChunk) return handle.payload
    const service = services.get(handle)
    return service === undefined ? (handle as BodyTask).requireRef() : { service }
  },
  fromRef: (ref) => ref,
})

/**
 * What the state of a service may hold: handles of services. What lies behind the others is kept for a while only.
 * @throws ShoalError `E_NOT_SERIALIZABLE`
 */
export const stateCodec: HandleCodec = {
  isHandle,
  toRef(handle) {
    const service = services.get(handle)
    if (service !== undefined) return { service }
    const rule = 'it may hold values and handles of services'
    throw new ShoalError(
      'E_NOT_SERIALIZABLE',
      `Cannot keep the state of the service as ${rule}: current value is ${handleText(handle)}`,
    )
  },
  fromRef: (ref) => ref,
}

function isHandle(value: object): boolean {
  return value instanceof BodyTask || value instanceof BodyChunk || services.has(value)
}

/**
 * One running body's side of the mesh: its children, its waiting, its signal. Made only for bodies that
 * take a context or were given handles. A class for its lifetime: it lives as long as the body.
 */
export class BodyContext implements TaskHolder, Spawner {
  readonly callId: number
  readonly codec: HandleCodec
  readonly #stopped: Promise<never>
  readonly #extra: CallExtra | null
  readonly #link: BodyLink
  readonly #children = new Map<number, BodyTask>()
  readonly #outbox: WireSpawn[] = []
  readonly #operations: OperationRecord[] = []
  readonly #deferred = new Set<Promise<void>>()
  readonly #abort = new AbortController()
  #rejectStopped: (error: Error) => void = () => {}
  /** Chunks whose handles were packed last. */
  #nested: ChunkPayload[] = []
  #nextSeq = 0
  #waits = 0

  constructor(callId: number, extra: CallExtra | null, link: BodyLink) {
    this.callId = callId
    this.#extra = extra
    this.#link = link
    this.#stopped = new Promise((_, reject) => {
      this.#rejectStopped = reject
    })
    this.#stopped.catch(() => {})
    this.codec = {
      isHandle,
      toRef: (handle) => {
        if (handle instanceof BodyChunk) {
          this.#nested.push(handle.payload)
          return handle.payload
        }
        const service = services.get(handle)
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

  accepted(job: JobId, accepted: readonly { readonly seq: number; readonly no: number }[]): boolean {
    for (const { seq, no } of accepted) {
      this.#children.get(seq)?.accept({ job, no }, this.#link.isService)
      this.#children.delete(seq)
    }
    return this.#children.size > 0
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
    return this.orStopped(this.#link.askForChunk(this.callId, type, bytes))
  }

  /** Methods are not asked to stop; and each race would stay with what a service keeps. */
  orStopped<T>(came: Promise<T>): Promise<T> {
    return this.#link.isService ? came : Promise.race([came, this.#stopped])
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
    services.set(proxy, id)
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
      // Its job may be gone by now.
      if (this.#link.isService && arg.isReady()) return arg.value()
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
    this.#link.spawned(this)
    this.#link.post({
      type: 'spawn',
      callId: this.callId,
      within: this.#link.present,
      job,
      no,
      attempt,
      requests,
      operations,
    })
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

/** A task or a chunk: as an argument it becomes its value. */
function isWaiting(arg: unknown): boolean {
  return arg instanceof BodyTask || arg instanceof BodyChunk
}
