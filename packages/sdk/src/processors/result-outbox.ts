import { errorToRecord } from '../values/index.ts'
import { transferBytesMin } from './limits.ts'
import { type FromWorker, resultStatus, resultStride } from './protocol.ts'
import { notSerializable } from './wire-value.ts'

/** Results of a worker that are not told yet. A class for speed: every call goes through it. */
export class ResultOutbox {
  /** When results were last told, in milliseconds. */
  flushedAt = 0
  readonly #port: MessagePort
  #results: unknown[] = []
  #transfers = new Set<ArrayBuffer>()

  constructor(port: MessagePort) {
    this.#port = port
  }

  get size(): number {
    return this.#results.length / resultStride
  }

  push(callId: number, status: number, value: unknown, microseconds: number): void {
    this.#results.push(callId, status, value, microseconds)
  }

  /** @param at the present time in milliseconds */
  flush(at: number): void {
    this.flushedAt = at
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
        this.#post({ type: 'results', results: single })
      } catch (cause) {
        const error = errorToRecord(notSerializable(cause))
        this.#post({ type: 'results', results: [single[0], resultStatus.failed, error, single[3]] })
      }
    }
  }

  /** The value is its caller's alone: its big buffers, at the top or one level down, go without a copy. */
  handOver(value: unknown): void {
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

  #post(message: FromWorker): void {
    this.#port.postMessage(message)
  }
}
