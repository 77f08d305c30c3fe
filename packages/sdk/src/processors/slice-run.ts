import { missingCapture } from '../code/index.ts'
import { errorToRecord, isCloneSafe, packShared, type Row } from '../values/index.ts'
import { slicePackedBytesMax, valueBytesMax } from './limits.ts'
import type { LoadedOperation } from './module-loader.ts'
import { joinRow, type PackedRow } from './packed-row.ts'
import type { ResultForm, WireSliced } from './protocol.ts'
import { handOver } from './result-outbox.ts'

const nothing = new Uint8Array(0)

/** The values of a slice while it runs. A class for speed: every item goes through it. */
export class SliceRun {
  readonly #operation: LoadedOperation
  readonly #resultForm: ResultForm
  #values: unknown[] = []
  #areNumbers = true
  readonly #packed: number[] = []
  #packedBytes = 0
  readonly #big: WireSliced['big'][number][] = []
  readonly #failed: WireSliced['failed'][number][] = []
  readonly #transfers = new Set<ArrayBuffer>()

  constructor(operation: LoadedOperation, resultForm: ResultForm) {
    this.#operation = operation
    this.#resultForm = resultForm
  }

  /** Items that have ended. */
  get count(): number {
    return this.#values.length
  }

  /** More values would make the message too big; in a thread's own process nothing is. */
  get isFull(): boolean {
    return this.#resultForm === 'packed' && this.#packedBytes > slicePackedBytesMax
  }

  done(value: unknown): void {
    if (typeof value === 'number') {
      this.#values.push(value)
      return
    }
    this.#areNumbers = false
    try {
      if (this.#resultForm === 'live' && isCloneSafe(value)) {
        if (this.#operation.isStateless) handOver(value, this.#transfers)
        this.#values.push(value)
      } else this.#pack(value)
    } catch (error) {
      this.failed(error)
    }
  }

  failed(error: unknown): void {
    this.#areNumbers = false
    const shown = missingCapture(error, this.#operation.record.name) ?? error
    this.#failed.push({ index: this.#values.length, error: errorToRecord(shown) })
    this.#values.push(undefined)
  }

  /** Tells what came of it. */
  post(port: MessagePort, callId: number, microseconds: number): void {
    try {
      const values = this.#row()
      port.postMessage(this.#message(callId, values, microseconds), this.#transfersOf(values))
    } catch {
      // Some value looked plain and was not: packing finds it.
      const values = this.#values
      const skipped = new Set([...this.#packed, ...this.#failed.map(({ index }) => index)])
      this.#values = []
      for (const [index, value] of values.entries()) {
        if (skipped.has(index)) this.#values.push(value)
        else this.#repack(value)
      }
      port.postMessage(this.#message(callId, this.#values, microseconds))
    }
  }

  #row(): Row | PackedRow {
    if (this.#areNumbers) return new Float64Array(this.#values as number[])
    if (this.#resultForm === 'live') return this.#values
    return joinRow(
      this.#values.map((value) => {
        if (typeof value === 'number') return packShared(value, null)
        return (value as Uint8Array | undefined) ?? nothing
      }),
    )
  }

  #repack(value: unknown): void {
    try {
      this.#pack(value)
    } catch (error) {
      this.failed(error)
    }
  }

  #pack(value: unknown): void {
    const bytes = packShared(value, null)
    this.#packed.push(this.#values.length)
    if (this.#resultForm === 'packed' && bytes.length > valueBytesMax) {
      this.#big.push({ index: this.#values.length, value: bytes })
      this.#values.push(nothing)
    } else this.#values.push(bytes)
    this.#packedBytes += Math.min(bytes.length, valueBytesMax)
  }

  #transfersOf(values: Row | PackedRow): ArrayBuffer[] {
    if (values instanceof Float64Array) return [values.buffer as ArrayBuffer]
    return [...this.#transfers]
  }

  #message(callId: number, values: Row | PackedRow, microseconds: number): WireSliced {
    const packed = 'ends' in values ? [] : this.#packed
    return {
      type: 'sliced',
      callId,
      values,
      packed,
      big: this.#big,
      failed: this.#failed,
      microseconds,
    }
  }
}
