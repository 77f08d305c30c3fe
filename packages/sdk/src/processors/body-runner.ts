import type { OperationRecord } from '@shoal/scheduler'
import { missingCapture } from '../code/index.ts'
import { errorToRecord, type HandleCodec, isCloneSafe, packValue, unpackValue } from '../values/index.ts'
import { BodyContext, type BodyLink } from './body-context.ts'
import { type BodyTask, Unnumbered } from './body-task.ts'
import { flushAfterMs, transferBytesMin } from './limits.ts'
import type { LoadedOperation, ModuleLoader } from './module-loader.ts'
import {
  type CallExtra,
  callStride,
  type FromWorker,
  resultStatus,
  resultStride,
  type ToWorker,
  type WireOutcome,
  type WorkerConfig,
} from './protocol.ts'
import { fromWireValue, notSerializable } from './wire-value.ts'

interface RunningCall {
  readonly callId: number
  readonly operation: number
  readonly args: readonly unknown[] | Uint8Array
  readonly extra: CallExtra | null
  context: BodyContext | null
  isStarted: boolean
  isAborted: boolean
  startedAt: number
  /** Lets the next call start while this one waits for tasks. */
  release: (() => void) | null
}

/**
 * Runs the calls of one worker: in order, one body at a time unless the one before waits for tasks.
 * A class for speed: one object owns all mutable state of the thread.
 */
class BodyRunner implements BodyLink {
  readonly processor: string
  readonly #port: MessagePort
  readonly #config: WorkerConfig
  readonly #loader: ModuleLoader
  readonly #nextTurn: (callback: () => void) => void
  readonly #progress: Int32Array | null
  readonly #operations: (LoadedOperation | undefined)[] = []
  readonly #seen = new Set<string>()
  readonly #calls = new Map<number, RunningCall>()
  readonly #watchers = new Map<string, Set<BodyTask>>()
  #queue: RunningCall[] = []
  #head = 0
  #results: unknown[] = []
  #transfers = new Set<ArrayBuffer>()
  #flushedAt = 0
  #isPumping = false
  #isFlushArmed = false

  constructor(
    port: MessagePort,
    config: WorkerConfig,
    loader: ModuleLoader,
    nextTurn: (callback: () => void) => void,
  ) {
    this.processor = config.processor
    this.#port = port
    this.#config = config
    this.#loader = loader
    this.#nextTurn = nextTurn
    this.#progress = config.progress === null ? null : new Int32Array(config.progress)
  }

  listen(): void {
    this.#port.onmessage = (event: MessageEvent) => this.#onMessage(event.data)
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  watch(task: BodyTask): void {
    const { ref } = task
    if (ref === null) return
    const watchers = this.#watchers.get(task.id)
    if (watchers !== undefined) watchers.add(task)
    else {
      this.#watchers.set(task.id, new Set([task]))
      this.post({ type: 'watch', refs: [ref] })
    }
  }

  unseen(operation: OperationRecord): boolean {
    if (this.#seen.has(operation.hash)) return false
    this.#seen.add(operation.hash)
    return true
  }

  yielded(callId: number): void {
    this.#calls.get(callId)?.release?.()
  }

  #onMessage(message: ToWorker): void {
    switch (message.type) {
      case 'run':
        this.#enqueue(message.calls)
        break
      case 'load':
        this.#seen.add(message.operation.hash)
        this.#operations[message.index] = this.#loader.load(message.operation)
        break
      case 'abort':
        this.#abort(message.callIds)
        break
      case 'drop':
        this.#drop()
        break
      case 'accepted':
        this.#calls.get(message.callId)?.context?.accepted(message.accepted)
        break
      case 'settled':
        this.#settled(`${message.ref.job}/${message.ref.no}`, message.outcome)
        break
    }
  }

  #enqueue(calls: readonly unknown[]): void {
    for (let at = 0; at < calls.length; at += callStride) {
      const call: RunningCall = {
        callId: calls[at] as number,
        operation: calls[at + 1] as number,
        args: calls[at + 2] as readonly unknown[] | Uint8Array,
        extra: calls[at + 3] as CallExtra | null,
        context: null,
        isStarted: false,
        isAborted: false,
        startedAt: 0,
        release: null,
      }
      this.#calls.set(call.callId, call)
      this.#queue.push(call)
    }
    if (!this.#isPumping) void this.#pump()
  }

  async #pump(): Promise<void> {
    this.#isPumping = true
    let turnAt = performance.now()
    this.#flushedAt = turnAt
    while (this.#head < this.#queue.length) {
      const call = this.#queue[this.#head++] as RunningCall
      if (call.isAborted) continue
      const pending = this.#start(call)
      if (pending !== null) {
        this.#flushSoon()
        await pending
      }
      const at = performance.now()
      if (at - this.#flushedAt >= flushAfterMs) this.#flush(at)
      if (at - turnAt >= flushAfterMs) {
        await new Promise<void>(this.#nextTurn)
        turnAt = performance.now()
      }
      this.#trim()
    }
    this.#trim()
    this.#isPumping = false
    this.#flush(performance.now())
  }

  #trim(): void {
    if (this.#head < 1024 && this.#head < this.#queue.length) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }

  /** `null`: the call ended. Else resolves when the next call may start. */
  #start(call: RunningCall): Promise<void> | null {
    const operation = this.#operations[call.operation]
    if (operation === undefined) {
      this.#end(call, resultStatus.failed, errorToRecord(new Error('the operation was never loaded')))
      return null
    }
    call.isStarted = true
    call.startedAt = performance.now()
    if (operation.lastMs > flushAfterMs && this.#results.length > 0) this.#flush(call.startedAt)
    if (this.#progress !== null) Atomics.store(this.#progress, 0, call.callId)
    if (call.extra?.isTimed === true) this.post({ type: 'started', callId: call.callId })
    if (operation.loading === null) return this.#invoke(call, operation)
    return operation.loading.then(() => {
      if (!call.isAborted) return this.#invoke(call, operation) ?? undefined
      this.#end(call, resultStatus.cancelled, null)
      return undefined
    })
  }

  #invoke(call: RunningCall, operation: LoadedOperation): Promise<void> | null {
    if (operation.body === null) {
      this.#end(call, resultStatus.failed, errorToRecord(operation.error))
      return null
    }
    let value: unknown
    try {
      const args = this.#arguments(call)
      if (operation.takesContext) value = operation.body(this.#contextOf(call).public(), ...args)
      else value = args.length === 1 ? operation.body(args[0]) : operation.body(...args)
    } catch (error) {
      this.#fail(call, operation, error)
      return null
    }
    if (!isThenable(value)) return this.#done(call, operation, value)
    const ended = this.#follow(call, operation, value)
    return new Promise((resolve) => {
      call.release = resolve
      void ended.then(resolve)
    })
  }

  async #follow(call: RunningCall, operation: LoadedOperation, promise: PromiseLike<unknown>): Promise<void> {
    let value: unknown
    try {
      value = await promise
    } catch (error) {
      this.#fail(call, operation, error)
      return
    }
    await this.#done(call, operation, value)
  }

  #arguments(call: RunningCall): unknown[] {
    const { args, extra } = call
    const values = (args instanceof Uint8Array ? unpackValue(args, this.#codecOf(call)) : args) as unknown[]
    if (extra !== null) {
      for (const input of extra.inputs) values[input.index] = fromWireValue(input.value, this.#codecOf(call))
    }
    return values
  }

  /** A codec that makes a context only when a handle comes along. */
  #codecOf(call: RunningCall): HandleCodec {
    return {
      isHandle: () => false,
      toRef: (handle) => this.#contextOf(call).codec.toRef(handle),
      fromRef: (ref) => this.#contextOf(call).codec.fromRef(ref),
    }
  }

  #contextOf(call: RunningCall): BodyContext {
    call.context ??= new BodyContext(call.callId, call.extra, this)
    return call.context
  }

  /** Ends a call well; later, when its value names tasks that have no number yet. */
  #done(call: RunningCall, operation: LoadedOperation, value: unknown): Promise<void> | null {
    const { context } = call
    if (context?.hasDeferred === true) {
      return context.flushed().then(() => this.#done(call, operation, value) ?? undefined)
    }
    try {
      const codec = context?.codec ?? null
      if (this.#config.resultForm === 'live' && isCloneSafe(value)) {
        if (operation.isStateless) this.#collectTransfers(value)
        this.#end(call, resultStatus.live, value, operation)
      } else {
        const packed = packValue(value, codec)
        if (packed.byteLength >= transferBytesMin) this.#transfers.add(packed.buffer as ArrayBuffer)
        this.#end(call, resultStatus.packed, packed, operation)
      }
    } catch (error) {
      if (error instanceof Unnumbered) {
        return error.task.numbered.then(() => this.#done(call, operation, value) ?? undefined)
      }
      this.#fail(call, operation, error)
    }
    return null
  }

  #fail(call: RunningCall, operation: LoadedOperation, error: unknown): void {
    const { context } = call
    if (context?.hasDeferred === true) {
      void context.flushed().then(() => this.#fail(call, operation, error))
      return
    }
    const shown = missingCapture(error, operation.record.name) ?? error
    this.#end(call, resultStatus.failed, errorToRecord(shown), operation)
  }

  #end(call: RunningCall, status: number, value: unknown, operation: LoadedOperation | null = null): void {
    if (!this.#calls.delete(call.callId)) return
    call.context?.flushNow()
    const ranMs = call.isStarted ? performance.now() - call.startedAt : 0
    if (operation !== null) operation.lastMs = ranMs
    if (call.isAborted) this.#results.push(call.callId, resultStatus.cancelled, null, ranMs)
    else this.#results.push(call.callId, status, value, ranMs)
    if (!this.#isPumping || call.context !== null) this.#flushSoon()
  }

  #abort(callIds: readonly number[]): void {
    const started: number[] = []
    for (const callId of callIds) {
      const call = this.#calls.get(callId)
      if (call === undefined || call.isAborted) continue
      call.isAborted = true
      if (!call.isStarted) this.#end(call, resultStatus.cancelled, null)
      else {
        started.push(callId)
        call.context?.stop('cancelled')
      }
    }
    if (started.length > 0) this.post({ type: 'aborting', callIds: started })
    this.#flush(performance.now())
  }

  #drop(): void {
    for (const call of this.#calls.values()) {
      if (call.isStarted || call.isAborted) continue
      this.#end(call, resultStatus.refused, null)
      call.isAborted = true
    }
    this.#flush(performance.now())
  }

  #settled(taskId: string, outcome: WireOutcome): void {
    const watchers = this.#watchers.get(taskId)
    this.#watchers.delete(taskId)
    for (const task of watchers ?? []) task.settle(outcome)
  }

  /** Big buffers that the result alone holds are handed over: at the top, or one level down. */
  #collectTransfers(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    if (this.#collectTransfer(value)) return
    if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return
    if (Array.isArray(value) && value.length > 64) return
    for (const part of Object.values(value)) this.#collectTransfer(part)
  }

  #collectTransfer(value: unknown): boolean {
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value
    if (!(buffer instanceof ArrayBuffer)) return false
    if (buffer.byteLength >= transferBytesMin) this.#transfers.add(buffer)
    return true
  }

  /** Tells the results after the messages that wait now, so that short async bodies share a message. */
  #flushSoon(): void {
    if (this.#isFlushArmed) return
    this.#isFlushArmed = true
    this.#nextTurn(() => {
      this.#isFlushArmed = false
      this.#flush(performance.now())
    })
  }

  #flush(at: number): void {
    this.#flushedAt = at
    if (this.#results.length === 0) return
    const results = this.#results
    const transfers = [...this.#transfers]
    this.#results = []
    this.#transfers = new Set()
    try {
      this.#port.postMessage({ type: 'results', results } satisfies FromWorker, transfers)
    } catch {
      this.#flushOneByOne(results)
    }
  }

  /** Some value looked plain and was not (a proxy, a buffer given away twice): find it, send the rest. */
  #flushOneByOne(results: readonly unknown[]): void {
    for (let at = 0; at < results.length; at += resultStride) {
      const single = results.slice(at, at + resultStride)
      try {
        this.post({ type: 'results', results: single })
      } catch (cause) {
        const error = errorToRecord(notSerializable(cause))
        this.post({ type: 'results', results: [single[0], resultStatus.failed, error, single[3]] })
      }
    }
  }
}

/** Starts to serve calls that come over `port`, for as long as the worker lives. */
export function startRunner(...parts: ConstructorParameters<typeof BodyRunner>): void {
  new BodyRunner(...parts).listen()
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
