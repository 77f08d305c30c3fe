import {
  type Call,
  type CallEnded,
  type Clock,
  type OperationHash,
  type OperationRecord,
  type ProcessorId,
  type RangeItems,
  ShoalError,
} from '@shoal/scheduler'
import { type Remote, transfer, wrap } from 'comlink'
import { errorToRecord, packValue } from '../values/index.ts'
import {
  addToFrame,
  type CallColumns,
  type SentOperation,
  startFrame,
  toFrame,
  toWireCall,
} from './call-columns.ts'
import { endOf, failedCall, slicedOutcome, toRow } from './call-ends.ts'
import { callsPerFrameMax, idleAfterMs } from './limits.ts'
import { cancelled, type Ending, PendingCalls, refused } from './pending-calls.ts'
import { listenTo } from './ports.ts'
import {
  type CallFrame,
  type FromWorker,
  fromWireResults,
  isOne,
  type ResultForm,
  type ResultFrame,
  resultStatus,
  type ToWorker,
  toWireCalls,
  type WireResult,
  type WireResults,
  type WireSlice,
  type WireSliced,
  type WorkerControl,
  type WorkerNotice,
} from './protocol.ts'
import { notSerializable } from './wire-value.ts'
import type { WorkerHandle } from './worker-handle.ts'

export interface SlotOptions {
  readonly id: ProcessorId
  readonly clock: Clock
  readonly resultForm: ResultForm
  /** A call that waits keeps its place; default `false`: the next one starts meanwhile. */
  readonly isSerial?: boolean
  readonly startWorker: () => WorkerHandle
  /** `null`: its code is not here. */
  readonly operationOf: (hash: OperationHash) => OperationRecord | null
  readonly abortGraceMs: number
  readonly onEnded: (ended: readonly CallEnded[]) => void
  /** The same for what a message from the worker told: nobody here waits on the stack. */
  readonly onResults: (ended: readonly CallEnded[]) => void
  /** Everything else that the worker says. */
  readonly onMessage: (message: WorkerNotice) => void
  /** The worker is gone: by itself, or as a call had to be stopped. Its calls have ended. */
  readonly onGone: (isCrash: boolean, reason: string) => void
}

const nothing: readonly Call[] = Object.freeze([])

/** A worker and what was given to it. A class for its lifetime: one for each start of a worker. */
export class WorkerSlot {
  readonly id: ProcessorId
  readonly ready: Promise<void>
  readonly #options: SlotOptions
  readonly #worker: WorkerHandle
  /** Pinned: Comlink ends a proxy's calls when it is collected. */
  readonly #control: Remote<WorkerControl>
  readonly #port: MessagePort & { ref?(): void; unref?(): void }
  readonly #pending: PendingCalls
  readonly #loaded = new Map<string, SentOperation>()
  #last: SentOperation | null = null
  readonly #died: Promise<never>
  #rejectDied: (error: Error) => void = () => {}
  #isOver = false
  #isGraceArmed = false
  /** The process stays alive for its calls. */
  #isHeld = false
  #isLettingGo = false
  #onIdle: (() => void) | null = null

  constructor(options: SlotOptions) {
    this.id = options.id
    this.#options = options
    this.#worker = options.startWorker()
    this.#control = wrap<WorkerControl>(this.#worker.endpoint)
    this.#died = new Promise((_, reject) => {
      this.#rejectDied = reject
    })
    this.#died.catch(() => {})
    const shared = canShare() ? new SharedArrayBuffer(4) : null
    this.#pending = new PendingCalls(shared === null ? null : new Int32Array(shared).fill(-1))
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    listenTo<FromWorker>(this.#port, (message) => this.#receive(message))
    this.#port.unref?.()
    this.#worker.onDeath((reason) => this.#crash(reason))
    const { id: processor, resultForm, isSerial = false } = options
    const config = { processor, resultForm, progress: shared, isSerial }
    this.ready = this.#race(this.#control.start(transfer(port2, [port2]), config))
    this.ready.catch((error: Error) => this.#crash(error.message))
  }

  get isIdle(): boolean {
    return this.#pending.size === 0
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Speed of this worker; rejects when the worker dies first. */
  calibrate(): Promise<number> {
    return this.#race(this.#control.calibrate())
  }

  /** Resolves when the worker answers over its control API. */
  async ping(): Promise<void> {
    await this.#race(this.#control.ping())
  }

  /** Gives calls to the worker; returns those whose code is not here, which it leaves alone. */
  run(calls: readonly Call[]): readonly Call[] {
    if (this.#isOver) {
      this.#options.onEnded(calls.map(({ callId }) => refused(callId)))
      return []
    }
    const wasIdle = this.isIdle
    if (calls.length === 1 && this.#sendOne(calls[0] as Call)) {
      if (wasIdle) this.#becameBusy()
      return nothing
    }
    const unknown: Call[] = []
    const failed: CallEnded[] = []
    for (let from = 0; from < calls.length; ) {
      const { items } = calls[from] as Call
      let to = from + 1
      if (items !== null) this.#runSlice(calls[from] as Call, items, unknown, failed)
      else {
        while (to < calls.length && to - from < callsPerFrameMax && calls[to]?.items === null) to++
        this.#runFrame(calls, from, to, unknown, failed)
      }
      from = to
    }
    if (failed.length > 0) this.#options.onEnded(failed)
    if (wasIdle && !this.isIdle) this.#becameBusy()
    return unknown
  }

  /** Gives a call of a method to the worker that needs no frame; `false`: it needs one. @param args scalars */
  runMethod(call: Call, method: string, args: readonly unknown[]): boolean {
    const operation = this.#isOver ? null : this.#operation(call.operation)
    if (operation === null || operation.mayTakeContext) return false
    const wasIdle = this.isIdle
    this.post([call.callId, method, operation.index, ...args])
    this.#pending.add(call)
    if (wasIdle) this.#becameBusy()
    return true
  }

  /** Has the worker load an operation before its first call. */
  preload(hash: OperationHash): void {
    if (!this.#isOver) this.#operation(hash)
  }

  /** Gives back what has not started, lets the rest end, then ends the worker. */
  retire(): Promise<void> {
    this.post({ type: 'drop' })
    return new Promise((resolve) => {
      this.#onIdle = () => {
        this.end({ type: 'replace' })
        resolve()
      }
      if (this.isIdle) this.#onIdle()
    })
  }

  abort(callIds: readonly number[]): void {
    const found = callIds.filter((callId) => {
      const state = this.#pending.state(callId)
      if (state === null || state.isAborting) return false
      state.isAborting = true
      return true
    })
    if (found.length === 0) return
    this.post({ type: 'abort', callIds: found })
    this.#armGrace()
  }

  /** The call as it was given, while it is pending. */
  pendingCall(callId: number): Call | undefined {
    return this.#pending.get(callId)
  }

  post(message: ToWorker, transfers: ArrayBuffer[] = []): void {
    if (this.#isOver) return
    if (transfers.length === 0) this.#port.postMessage(message)
    else this.#port.postMessage(message, transfers)
  }

  /** Ends the worker and all its calls. Idempotent. */
  end(ending: Ending): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#worker.terminate()
    this.#port.close()
    this.#rejectDied(
      new ShoalError('E_CLOSED', 'Cannot ask a worker as it must be alive: current value is ended'),
    )
    const ended = this.#pending.endAll(ending)
    if (ended.length > 0) this.#options.onEnded(ended)
    this.#onIdle?.()
  }

  #runFrame(calls: readonly Call[], from: number, to: number, unknown: Call[], failed: CallEnded[]): void {
    let frame: CallColumns | null = null
    for (let at = from; at < to; at++) {
      const call = calls[at] as Call
      const operation = this.#operation(call.operation)
      if (operation === null) {
        unknown.push(call)
        continue
      }
      try {
        if (frame === null) frame = startFrame(call, operation)
        else addToFrame(frame, call, operation)
        this.#pending.add(call)
      } catch (error) {
        failed.push(failedCall(call, errorToRecord(error)))
      }
    }
    if (frame !== null) this.#sendCalls(frame, failed)
  }

  /** Gives a call to the worker that needs no frame; else gives `false`. */
  #sendOne(call: Call): boolean {
    const operation = this.#operation(call.operation)
    const message = operation === null ? null : toWireCall(call, operation)
    if (message === null) return false
    try {
      this.post(message)
    } catch {
      // It looked plain and was not: the long way finds out and says so.
      return false
    }
    this.#pending.add(call)
    return true
  }

  #runSlice(call: Call, items: RangeItems, unknown: Call[], failed: CallEnded[]): void {
    const operation = this.#operation(call.operation)
    if (operation === null) {
      unknown.push(call)
      return
    }
    try {
      const { row, isSingle } = toRow(items)
      const transfers = row instanceof Float64Array ? [row.buffer] : []
      this.#port.postMessage(
        {
          type: 'slice',
          callId: call.callId,
          operation: operation.index,
          items: row,
          isSingle,
        } satisfies WireSlice,
        transfers,
      )
      this.#pending.add(call)
    } catch {
      // Something looked plain and was not: its tasks come one by one, and the one that cannot travel says so.
      failed.push(refused(call.callId))
    }
  }

  #sendCalls(columns: CallColumns, failed: CallEnded[]): void {
    try {
      this.post(toWireCalls(toFrame(columns)), columns.transfers)
    } catch {
      // Something looked plain and was not (a proxy, a buffer given away): find it, send the rest.
      columns.ids.forEach((callId, at) => {
        this.#sendAlone(columns, callId, at, failed)
      })
    }
  }

  #sendAlone(columns: CallColumns, callId: number, at: number, failed: CallEnded[]): void {
    const args = columns.args[at]
    try {
      const calls: CallFrame = {
        ids: [callId],
        operations: columns.operations[at] as number,
        args: [Array.isArray(args) ? packValue(args) : args],
        isSingle: false,
        extras: columns.extras.slice(at, at + 1),
      }
      this.post(toWireCalls(calls))
    } catch (cause) {
      const call = this.#pending.take(callId)
      if (call !== undefined) failed.push(failedCall(call, errorToRecord(notSerializable(cause))))
    }
  }

  #operation(hash: OperationHash): SentOperation | null {
    return this.#last?.hash === hash ? this.#last : this.#sent(hash)
  }

  /** An operation as this worker knows it; its code goes ahead of its first call. */
  #sent(hash: OperationHash): SentOperation | null {
    let sent = this.#loaded.get(hash) ?? null
    if (sent === null) {
      const operation = this.#options.operationOf(hash)
      if (operation === null) return null
      const mayTakeContext = operation.source.includes('takesContext')
      sent = { hash, index: this.#loaded.size, mayTakeContext }
      this.#loaded.set(hash, sent)
      this.post({ type: 'load', index: sent.index, operation })
    }
    this.#last = sent
    return sent
  }

  #receive(message: FromWorker): void {
    if (this.#isOver) return
    if (isResults(message)) {
      if (isOne(message)) this.#result(message)
      else this.#results(fromWireResults(message))
      return
    }
    switch (message.type) {
      case 'sliced':
        this.#sliced(message)
        break
      case 'started':
        this.#started(message.callId)
        break
      case 'aborting':
        for (const callId of message.callIds) {
          const state = this.#pending.state(callId)
          if (state !== null) state.isKnownStarted = true
        }
        break
      case 'yield':
      case 'resume': {
        const state = this.#pending.state(message.callId)
        if (state === null) break
        state.isYielded = message.type === 'yield'
        state.isKnownStarted = true
        this.#options.onMessage(message)
        break
      }
      default:
        this.#options.onMessage(message)
    }
  }

  #result([callId, status, value, microseconds]: WireResult): void {
    const call = this.#pending.take(callId)
    if (call !== undefined) {
      const ranMs = microseconds / 1000
      const isAborting = this.#pending.takeState(callId)?.isAborting === true
      this.#options.onResults([
        isAborting ? cancelled(callId, ranMs) : endOf(call, status, value, ranMs, this.#options.resultForm),
      ])
    }
    this.#becameIdle()
  }

  #results({ ids, statuses, values, microseconds }: ResultFrame): void {
    const ended: CallEnded[] = []
    for (let at = 0; at < ids.length; at++) {
      const callId = ids[at] as number
      const call = this.#pending.take(callId)
      if (call === undefined) continue
      const ranMs = (microseconds[at] as number) / 1000
      const status = statuses === null ? resultStatus.live : (statuses[at] as number)
      if (this.#pending.takeState(callId)?.isAborting === true) ended.push(cancelled(callId, ranMs))
      else ended.push(endOf(call, status, values[at], ranMs, this.#options.resultForm))
    }
    if (ended.length > 0) this.#options.onResults(ended)
    this.#becameIdle()
  }

  #sliced(message: WireSliced): void {
    const { callId, microseconds } = message
    const call = this.#pending.take(callId)
    if (call === undefined) return
    const ranMs = microseconds / 1000
    if (this.#pending.takeState(callId)?.isAborting === true)
      this.#options.onResults([cancelled(callId, ranMs)])
    else {
      this.#options.onResults([{ callId, outcome: slicedOutcome(message, this.#options.resultForm), ranMs }])
    }
    this.#becameIdle()
  }

  #becameBusy(): void {
    if (this.#isHeld) return
    this.#isHeld = true
    this.#setBusy(true)
  }

  /** The process may end when nothing comes soon: to say so after each of many short calls would cost much. */
  #becameIdle(): void {
    if (!this.isIdle) return
    this.#onIdle?.()
    if (this.#isLettingGo || this.#isOver) return
    this.#isLettingGo = true
    const { clock } = this.#options
    clock.setTimer(clock.now() + idleAfterMs, () => {
      this.#isLettingGo = false
      if (this.#isOver) return
      if (!this.isIdle) return
      this.#isHeld = false
      this.#setBusy(false)
    })
  }

  #started(callId: number): void {
    const call = this.#pending.get(callId)
    const state = this.#pending.state(callId)
    if (call === undefined || state === null || call.timeoutMs <= 0 || state.cancelTimer !== null) return
    const { clock } = this.#options
    state.cancelTimer = clock.setTimer(clock.now() + call.timeoutMs, () => {
      if (this.#pending.get(callId) === undefined) return
      const message = `Cannot finish the task as its body must end within ${call.timeoutMs} ms: current value is unfinished`
      const error = errorToRecord(
        new ShoalError('E_TASK_TIMEOUT', message, { data: { timeoutMs: call.timeoutMs } }),
      )
      const end = { ...failedCall(call, error), ranMs: call.timeoutMs }
      this.#replace({ type: 'timeout', callId, end })
    })
  }

  /** While calls are being stopped: replaces the worker when one that runs does not end in time. */
  #armGrace(): void {
    if (this.#isGraceArmed || this.#isOver) return
    this.#isGraceArmed = true
    const { clock, abortGraceMs } = this.#options
    clock.setTimer(clock.now() + abortGraceMs, () => {
      this.#isGraceArmed = false
      if (this.#isOver) return
      const found = this.#pending.abortState()
      if (found === 'stuck') this.#replace({ type: 'replace' })
      else if (found === 'waiting') this.#armGrace()
    })
  }

  #replace(ending: Ending): void {
    this.end(ending)
    this.#options.onGone(false, ending.type)
  }

  #crash(reason: string): void {
    if (this.#isOver) return
    this.end({ type: 'crash' })
    this.#options.onGone(true, reason)
  }

  #setBusy(isBusy: boolean): void {
    this.#worker.setBusy(isBusy)
    if (isBusy) this.#port.ref?.()
    else this.#port.unref?.()
  }

  /** Comlink never ends a call of a dead worker. */
  #race<T>(answer: Promise<T>): Promise<T> {
    return Promise.race([answer, this.#died])
  }
}

function isResults(message: FromWorker): message is WireResult | WireResults {
  return Array.isArray(message)
}

function canShare(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false
  return !('crossOriginIsolated' in globalThis) || globalThis.crossOriginIsolated
}
