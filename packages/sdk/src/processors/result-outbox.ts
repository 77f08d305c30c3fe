import { errorToRecord } from '../values/index.ts'
import { transferBytesMin } from './limits.ts'
import {
  type ResultFrame,
  resultStatus,
  toColumn,
  toWireResults,
  type WireResult,
  type WireResults,
} from './protocol.ts'
import { notSerializable } from './wire-value.ts'

const nothing: number[] = []

/** Results of a worker that are not told yet. A class for speed: every call goes through it. */
export class ResultOutbox {
  /** When results were last told, in milliseconds. */
  flushedAt = 0
  readonly #port: MessagePort
  #ids: number[] = []
  #statuses: number[] = []
  #values: unknown[] = []
  #microseconds: number[] = []
  #areLive = true
  #areNumbers = true
  readonly #transfers = new Set<ArrayBuffer>()

  constructor(port: MessagePort) {
    this.#port = port
  }

  get size(): number {
    return this.#ids.length
  }

  push(callId: number, status: number, value: unknown, microseconds: number): void {
    if (this.#ids.length === 0) {
      // Lists as long as they must be: often there is one result only.
      this.#ids = [callId]
      this.#statuses = [status]
      this.#values = [value]
      this.#microseconds = [microseconds]
    } else {
      this.#ids.push(callId)
      this.#statuses.push(status)
      this.#values.push(value)
      this.#microseconds.push(microseconds)
    }
    if (status !== resultStatus.live) this.#areLive = false
    if (typeof value !== 'number') this.#areNumbers = false
  }

  /** @param at the present time in milliseconds */
  flush(at: number): void {
    this.flushedAt = at
    if (this.#ids.length === 0) return
    if (this.#ids.length === 1) this.#flushOne()
    else this.#flushAll()
  }

  #flushOne(): void {
    const [callId = 0] = this.#ids
    const [status = 0] = this.#statuses
    const [microseconds = 0] = this.#microseconds
    const value = this.#values[0]
    this.#reset()
    try {
      this.#post([callId, status, value, microseconds])
    } catch (cause) {
      this.#post([callId, resultStatus.failed, errorToRecord(notSerializable(cause)), microseconds])
    }
  }

  #flushAll(): void {
    const results = this.#take()
    try {
      this.#post(toWireResults(results))
    } catch {
      this.#flushOneByOne(results)
    }
  }

  #post(message: WireResult | WireResults): void {
    if (this.#transfers.size === 0) this.#port.postMessage(message)
    else {
      const transfers = [...this.#transfers]
      this.#transfers.clear()
      this.#port.postMessage(message, transfers)
    }
  }

  #take(): ResultFrame {
    const values = this.#areNumbers ? toColumn(this.#values as number[]) : this.#values
    const results = {
      ids: toColumn(this.#ids),
      statuses: this.#areLive ? null : this.#statuses,
      values,
      microseconds: toColumn(this.#microseconds),
    }
    this.#reset()
    return results
  }

  #reset(): void {
    this.#ids = nothing
    this.#areLive = true
    this.#areNumbers = true
  }

  /** Some value looked plain and was not (a proxy, a buffer given away twice): find it, send the rest. */
  #flushOneByOne({ ids, statuses, values, microseconds }: ResultFrame): void {
    for (let at = 0; at < ids.length; at++) {
      const single = (status: number, value: unknown): WireResult => [
        ids[at] as number,
        status,
        value,
        microseconds[at] as number,
      ]
      try {
        this.#port.postMessage(single(statuses?.[at] ?? resultStatus.live, values[at]))
      } catch (cause) {
        this.#port.postMessage(single(resultStatus.failed, errorToRecord(notSerializable(cause))))
      }
    }
  }

  handOver(value: unknown): void {
    handOver(value, this.#transfers)
  }
}

/** The value is its caller's alone: its big buffers, at the top or one level down, go without a copy. */
export function handOver(value: unknown, transfers: Set<ArrayBuffer>): void {
  if (typeof value !== 'object' || value === null) return
  if (collectTransfer(value, transfers)) return
  if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return
  if (Array.isArray(value) && value.length > 64) return
  for (const part of Object.values(value)) collectTransfer(part, transfers)
}

function collectTransfer(value: unknown, transfers: Set<ArrayBuffer>): boolean {
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value
  if (!(buffer instanceof ArrayBuffer)) return false
  if (buffer.byteLength >= transferBytesMin) transfers.add(buffer)
  return true
}
