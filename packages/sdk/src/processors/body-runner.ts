import type { OperationRecord } from '@shoal/scheduler'
import { missingCapture, serviceCommand } from '../code/index.ts'
import { errorToRecord, type HandleCodec, isCloneSafe, packShared, unpackValue } from '../values/index.ts'
import { BodyContext, type BodyLink, stateCodec } from './body-context.ts'
import { type BodyTask, Unnumbered } from './body-task.ts'
import { BodyWaits, type Spawner } from './body-waits.ts'
import { flushAfterMs, resultsPerFrameMax, sliceMaxMs } from './limits.ts'
import type { LoadedOperation, ModuleLoader } from './module-loader.ts'
import { partOf } from './packed-row.ts'
import { listenTo } from './ports.ts'
import {
  type CallExtra,
  type CallFrame,
  type FromWorker,
  fromWireCalls,
  isMethodCall,
  isOne,
  resultStatus,
  type ToWorker,
  type WireCall,
  type WireCalls,
  type WireMethodCall,
  type WireSlice,
  type WorkerConfig,
} from './protocol.ts'
import { ResultOutbox } from './result-outbox.ts'
import {
  type Arguments,
  isList,
  isScalar,
  isSmall,
  isThenable,
  type RunningCall,
  runningCall,
  toMicroseconds,
} from './running-call.ts'
import { SliceRun } from './slice-run.ts'
import { type SliceFrame, WaitingCalls } from './waiting-calls.ts'
import { fromWireValue } from './wire-value.ts'

/**
 * Runs the calls of one worker: in order, one body at a time unless the one before waits for tasks.
 * A class for speed: one object owns all mutable state of the thread.
 */
class BodyRunner implements BodyLink {
  readonly processor: string
  readonly isService: boolean
  readonly #port: MessagePort
  readonly #config: WorkerConfig
  readonly #loader: ModuleLoader
  readonly #nextTurn: (callback: () => void) => void
  readonly #progress: Int32Array | null
  readonly #operations: (LoadedOperation | undefined)[] = []
  readonly #seen = new Set<string>()
  readonly #running = new Map<number, RunningCall>()
  readonly #waits: BodyWaits
  readonly #waiting = new WaitingCalls()
  readonly #outbox: ResultOutbox
  #isPumping = false
  #isFlushArmed = false
  /** The call that runs, of a service: what it keeps of earlier calls is used in this one. */
  present = 0
  /** Read once for each call: its end is the start of the next one. */
  #nowMs = 0

  constructor(
    port: MessagePort,
    config: WorkerConfig,
    loader: ModuleLoader,
    nextTurn: (callback: () => void) => void,
  ) {
    this.processor = config.processor
    this.isService = config.isSerial
    this.#port = port
    this.#waits = new BodyWaits((notice) => this.post(notice))
    this.#outbox = new ResultOutbox(port)
    this.#config = config
    this.#loader = loader
    this.#nextTurn = nextTurn
    this.#progress = config.progress === null ? null : new Int32Array(config.progress)
  }

  listen(): void {
    listenTo<ToWorker>(this.#port, (message) => this.#onMessage(message))
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  watch(task: BodyTask): void {
    this.#waits.watch(task)
  }

  unseen(operation: OperationRecord): boolean {
    if (this.#seen.has(operation.hash)) return false
    this.#seen.add(operation.hash)
    return true
  }

  callService(...[callId, call, onAnswer]: Parameters<BodyLink['callService']>): void {
    this.#waits.callService(this.isService ? this.present : callId, call, onAnswer)
  }

  askForChunk(...ask: Parameters<BodyLink['askForChunk']>): Promise<Uint8Array> {
    return this.#waits.askForChunk(...ask)
  }

  spawned(spawner: Spawner): void {
    this.#waits.spawned(spawner)
  }

  yielded(callId: number): void {
    const call = this.#running.get(callId)
    if (call === undefined || this.isService) return
    call.hasYielded = true
    call.release?.()
  }

  #onMessage(message: ToWorker): void {
    if (isCalls(message)) {
      if (!isOne(message)) this.#enqueue(fromWireCalls(message))
      else this.#enqueueOne(isMethodCall(message) ? methodFrame(message) : callFrame(message))
      return
    }
    switch (message.type) {
      case 'slice':
        this.#enqueue({ ids: [message.callId], slice: message })
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
        this.#waits.accepted(message.callId, message.job, message.accepted)
        break
      case 'chunk':
        this.#waits.chunkCame(message.key, message.value, message.error)
        break
      case 'settled':
        this.#waits.settled(`${message.ref.job}/${message.ref.no}`, message.outcome)
        break
      case 'answered':
        this.#waits.answered(message.seq, message.answer)
        break
    }
  }

  #enqueue(calls: CallFrame | SliceFrame): void {
    this.#waiting.push(calls)
    if (!this.#isPumping) void this.#pump()
  }

  /** A call that comes while nothing runs mostly ends at once: no loop, no promise. */
  #enqueueOne(frame: CallFrame): void {
    if (this.#isPumping) {
      this.#waiting.push(frame)
      return
    }
    this.#isPumping = true
    this.#nowMs = performance.now()
    const pending = this.#start(frame, 0, true)
    if (pending !== null) {
      void this.#pump(pending)
      return
    }
    this.#isPumping = false
    this.#outbox.flush(this.#nowMs)
  }

  /** @param before resolves when the first call may start */
  async #pump(before: Promise<void> | null = null): Promise<void> {
    this.#isPumping = true
    if (before !== null) {
      this.#flushSoon()
      await before
    }
    let turnAt = performance.now()
    this.#nowMs = turnAt
    this.#outbox.flush(turnAt)
    for (let next = this.#waiting.take(); next !== null; next = this.#waiting.take()) {
      const { frame, at } = next
      const pending = 'slice' in frame ? this.#startSlice(frame.slice) : this.#start(frame, at)
      if (pending !== null) {
        this.#flushSoon()
        await pending
        this.#nowMs = performance.now()
      }
      const now = this.#nowMs
      const isFull = this.#outbox.size >= resultsPerFrameMax
      if (isFull || now - this.#outbox.flushedAt >= flushAfterMs) this.#outbox.flush(now)
      if (now - turnAt >= flushAfterMs) {
        await new Promise<void>(this.#nextTurn)
        turnAt = performance.now()
        this.#nowMs = turnAt
      }
    }
    this.#isPumping = false
    this.#outbox.flush(this.#nowMs)
  }

  /**
   * @param isAlone its result travels alone: a small one as it is, as the other thread packs that as fast as it reads it
   * @returns `null`: the call ended. Else resolves when the next call may start.
   */
  #start(frame: CallFrame, at: number, isAlone = false): Promise<void> | null {
    const callId = frame.ids[at] as number
    const { operations, isSingle } = frame
    const operation =
      this.#operations[typeof operations === 'number' ? operations : (operations[at] as number)]
    if (operation === undefined) throw new Error('a call came before its operation')
    const startedAt = this.#nowMs
    this.present = callId
    if (operation.lastMs > flushAfterMs && this.#outbox.size > 0) this.#outbox.flush(startedAt)
    if (this.#progress !== null) Atomics.store(this.#progress, 0, callId)
    const { body } = operation
    const extra = frame.extras?.[at] ?? null
    const given = frame.args[at]
    const isPacked = !isSingle && !Array.isArray(given)
    const argsOf = (): Arguments => (isSingle ? [given] : (given as Arguments))
    if (body === null || extra !== null || operation.takesContext || isPacked) {
      return this.#startFully(callId, operation, argsOf(), extra, startedAt)
    }
    // The short way: most calls are small, and end here without a record of their own.
    let value: unknown
    try {
      value = isSingle ? body(given) : body(...(given as readonly unknown[]))
    } catch (error) {
      this.#fail(runningCall(callId, argsOf(), null, startedAt), operation, error)
      return null
    }
    if (isScalar(value) && (this.#config.resultForm === 'live' || (isAlone && isSmall(value)))) {
      this.#nowMs = performance.now()
      const ranMs = this.#nowMs - startedAt
      operation.lastMs = ranMs
      this.present = 0
      this.#outbox.push(callId, resultStatus.live, value, toMicroseconds(ranMs))
      return null
    }
    return this.#take(runningCall(callId, argsOf(), null, startedAt), operation, value)
  }

  /** Runs the items of a slice one after the other; those that it has no time for go back. */
  async #startSlice({ callId, operation: index, items, isSingle }: WireSlice): Promise<void> {
    const operation = this.#operations[index]
    if (operation === undefined) throw new Error('a slice came before its operation')
    if (this.#progress !== null) Atomics.store(this.#progress, 0, callId)
    const call = runningCall(callId, [], null, performance.now())
    this.#running.set(callId, call)
    if (operation.loading !== null) await operation.loading
    const { body } = operation
    if (body === null) {
      this.#end(call, resultStatus.failed, errorToRecord(operation.error))
      return
    }
    const run = new SliceRun(operation, this.#config.resultForm)
    const startedAt = performance.now()
    let turnAt = startedAt
    let now = startedAt
    const count = 'ends' in items ? items.ends.length : items.length
    while (run.count < count && !call.isAborted && !run.isFull && now - startedAt < sliceMaxMs) {
      try {
        const item = 'ends' in items ? unpackValue(partOf(items, run.count), null) : items[run.count]
        let value = isSingle ? body(item) : body(...(item as readonly unknown[]))
        if (isThenable(value)) value = await value
        run.done(value)
      } catch (error) {
        run.failed(error)
      }
      now = performance.now()
      if (now - turnAt < flushAfterMs) continue
      this.#outbox.flush(now)
      await new Promise<void>(this.#nextTurn)
      turnAt = performance.now()
    }
    this.#running.delete(callId)
    operation.lastMs = (now - startedAt) / Math.max(1, run.count)
    this.#outbox.flush(now)
    if (call.isAborted)
      this.#outbox.push(callId, resultStatus.cancelled, null, toMicroseconds(now - startedAt))
    else run.post(this.#port, callId, toMicroseconds(now - startedAt))
  }

  #startFully(
    callId: number,
    operation: LoadedOperation,
    args: Arguments,
    extra: CallExtra | null,
    startedAt: number,
  ): Promise<void> | null {
    const call = runningCall(callId, args, extra, startedAt)
    this.#running.set(callId, call)
    if (extra?.isTimed === true) this.post({ type: 'started', callId })
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
    return this.#take(call, operation, value)
  }

  /** What a body returned: its value, or the promise of one. */
  #take(call: RunningCall, operation: LoadedOperation, value: unknown): Promise<void> | null {
    if (!isThenable(value)) return this.#done(call, operation, value)
    this.#running.set(call.callId, call)
    const ended = this.#follow(call, operation, value)
    if (call.hasYielded) return null
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
    const values = (isList(args) ? args : unpackValue(args, this.#codecOf(call))) as unknown[]
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
      if (this.#config.resultForm === 'live' && isCloneSafe(value)) {
        if (operation.isStateless) this.#outbox.handOver(value)
        this.#end(call, resultStatus.live, value, operation)
      } else {
        const packed = this.#pack(call, value)
        this.#outbox.handOver(packed)
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

  #pack(call: RunningCall, value: unknown): Uint8Array {
    if (this.isService) return packShared(value, serviceCodec(call))
    return call.context === null ? packShared(value, null) : call.context.pack(value, packShared)
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
    this.#running.delete(call.callId)
    this.present = 0
    if (call.context !== null) {
      call.context.flushNow()
      if (!this.isService) this.#waits.forgetSpawner(call.callId)
    }
    this.#nowMs = performance.now()
    const ranMs = this.#nowMs - call.startedAt
    if (operation !== null) operation.lastMs = ranMs
    const ranUs = toMicroseconds(ranMs)
    if (call.isAborted) this.#outbox.push(call.callId, resultStatus.cancelled, null, ranUs)
    else this.#outbox.push(call.callId, status, value, ranUs)
    if (!this.#isPumping || call.context !== null) this.#flushSoon()
  }

  #abort(callIds: readonly number[]): void {
    const waiting = new Set(this.#waiting.ids())
    const started: number[] = []
    for (const callId of callIds) {
      const call = this.#running.get(callId)
      if (call !== undefined && !call.isAborted) {
        call.isAborted = true
        started.push(callId)
        call.context?.stop('cancelled')
      } else if (waiting.has(callId)) this.#giveBack(callId, resultStatus.cancelled)
    }
    if (started.length > 0) this.post({ type: 'aborting', callIds: started })
    this.#outbox.flush(performance.now())
  }

  #drop(): void {
    for (const callId of this.#waiting.ids()) this.#giveBack(callId, resultStatus.refused)
    this.#outbox.flush(performance.now())
  }

  #giveBack(callId: number, status: number): void {
    this.#waiting.drop(callId)
    this.#outbox.push(callId, status, null, 0)
  }

  /** Tells the results after the messages that wait now, so that short async bodies share a message. */
  #flushSoon(): void {
    if (this.#isFlushArmed) return
    this.#isFlushArmed = true
    this.#nextTurn(() => {
      this.#isFlushArmed = false
      this.#outbox.flush(performance.now())
    })
  }
}

/** A service gives what any call before brought it; what it keeps must outlive it. */
function serviceCodec({ args, context }: RunningCall): HandleCodec | undefined {
  return isList(args) && args[0] === serviceCommand.snapshot ? stateCodec : context?.codec
}

/** Starts to serve calls that come over `port`, for as long as the worker lives. */
export function startRunner(...parts: ConstructorParameters<typeof BodyRunner>): void {
  new BodyRunner(...parts).listen()
}

function callFrame([callId, operation, argument]: WireCall): CallFrame {
  return { ids: [callId], operations: operation, args: [argument], isSingle: true, extras: null }
}

function methodFrame([callId, method, operation, ...args]: WireMethodCall): CallFrame {
  const given = [serviceCommand.call, method, args]
  return { ids: [callId], operations: operation, args: [given], isSingle: false, extras: null }
}

function isCalls(message: ToWorker): message is WireCall | WireMethodCall | WireCalls {
  return Array.isArray(message)
}
