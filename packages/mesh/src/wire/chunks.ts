import { type Clock, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { type FrameType, frameHeaderBytes, frameTypes, readUint32, writeUint32 } from './frames.ts'
import { takeBody } from './piece-bodies.ts'

/** In front of each piece: transfer, index, total bytes (4 bytes each), type of the whole (1 byte). */
export const chunkHeaderBytes = 13

/** Bytes of every piece but the last. */
export const chunkBytes: number = limits.chunkFrameBytes - frameHeaderBytes - chunkHeaderBytes

/** Kinds of bodies that may be large. */
const largeTypes: ReadonlySet<number> = new Set([
  frameTypes.messages,
  frameTypes.services,
  frameTypes.replica,
  frameTypes.operation,
  frameTypes.piece,
])

/** A large body in two parts, so that what is large need not be copied to stand behind what is small. */
export interface LargeBody {
  /** Shorter than the first piece. */
  readonly head: Uint8Array
  readonly rest: Uint8Array
}

export function sizeOf({ head, rest }: LargeBody): number {
  return head.length + rest.length
}

/**
 * Builds the chunk frame of what starts at `from`, with room for the frame's own header in front; `bytes` is
 * what it carries. The only copy on the way out.
 * @param memory of `limits.chunkFrameBytes`, to build it in; default: fresh
 */
export function encodeChunk(
  transfer: number,
  type: FrameType,
  whole: LargeBody,
  from: number,
  memory: Uint8Array = new Uint8Array(limits.chunkFrameBytes),
): { readonly frame: Uint8Array; readonly bytes: number } {
  const total = sizeOf(whole)
  const bytes = Math.min(chunkBytes, total - from)
  const frame = memory.subarray(0, frameHeaderBytes + chunkHeaderBytes + bytes)
  const header = frame.subarray(frameHeaderBytes)
  writeUint32(header, 0, transfer)
  writeUint32(header, 4, from / chunkBytes)
  writeUint32(header, 8, total)
  header[12] = type
  const { head, rest } = whole
  const headBytes = from === 0 ? head.length : 0
  if (headBytes > 0) header.set(head, chunkHeaderBytes)
  const restFrom = from + headBytes - head.length
  header.set(rest.subarray(restFrom, restFrom + bytes - headBytes), chunkHeaderBytes + headBytes)
  return { frame, bytes }
}

/** Memory for bodies that are being put together, over all peers. */
export interface Budget {
  readonly usedBytes: number
  hasRoom(bytes: number): boolean
  take(bytes: number): void
  free(bytes: number): void
  /** Called once, when something was freed. */
  onFreed(listener: () => void): void
}

export function createBudget(bytesMax: number = limits.reassemblyBytesMax): Budget {
  let usedBytes = 0
  let listeners: (() => void)[] = []
  return {
    get usedBytes() {
      return usedBytes
    },
    hasRoom: (bytes) => usedBytes === 0 || usedBytes + bytes <= bytesMax,
    take(bytes) {
      usedBytes += bytes
    },
    free(bytes) {
      usedBytes -= bytes
      const waiting = listeners
      listeners = []
      for (const listener of waiting) listener()
    },
    onFreed(listener) {
      listeners.push(listener)
    },
  }
}

/** A body whose rest did not come. */
export interface Late {
  readonly error: ShoalError
  readonly type: FrameType
  /** What came of it. */
  readonly start: Uint8Array
}

export interface IntakeOptions {
  readonly clock: Clock
  readonly budget: Budget
  /** The sender's last transfer that is over, well or not; shared by the links of one peer. */
  readonly taken: { lastTransfer: number }
}

/** Puts the bodies of one link together again. */
export interface Intake {
  /** Whether a body is half here. */
  readonly isBusy: boolean
  /** Whether this chunk begins a body for which there is no memory yet: do not take it now. */
  mustWait(frame: Uint8Array): boolean
  /** The sender sent more than it had credit for: its link must go. */
  readonly isOverdrawn: boolean
  /**
   * @returns the body that this chunk completed, or `null`
   * @throws ShoalError `E_CHUNK`, `E_TOO_LARGE`: the transfer is dropped, the next one works
   */
  take(frame: Uint8Array): { readonly type: FrameType; readonly body: Uint8Array } | null
  /** Bytes taken in that the sender was told of. */
  readonly creditedBytes: number
  /** Bytes taken in since the start, when it is time to say so; else `null`. */
  creditDue(): number | null
  /** Drops a body whose next chunk is late. */
  dropLate(now: number): Late | null
  close(): void
}

interface Assembly {
  readonly transfer: number
  readonly type: number
  readonly body: Uint8Array
  gotBytes: number
  at: number
}

export function createIntake(options: IntakeOptions): Intake {
  return new ChunkIntake(options)
}

class ChunkIntake implements Intake {
  readonly #clock: Clock
  readonly #budget: Budget
  readonly #taken: { lastTransfer: number }
  #assembly: Assembly | null = null
  #receivedBytes = 0
  #creditedBytes = 0
  #toldTransfer: number

  constructor({ clock, budget, taken }: IntakeOptions) {
    this.#clock = clock
    this.#budget = budget
    this.#taken = taken
    this.#toldTransfer = taken.lastTransfer
  }

  get isBusy(): boolean {
    return this.#assembly !== null
  }

  get creditedBytes(): number {
    return this.#creditedBytes
  }

  get isOverdrawn(): boolean {
    return this.#receivedBytes - this.#creditedBytes > limits.bulkWindowBytes + chunkBytes
  }

  mustWait(frame: Uint8Array): boolean {
    this.#dropOver()
    if (this.#assembly !== null || frame.length <= chunkHeaderBytes) return false
    const { transfer, index, total } = readHeader(frame)
    if (transfer <= this.#taken.lastTransfer || index !== 0 || total > limits.messageBytesMax) return false
    return !this.#budget.hasRoom(total)
  }

  take(frame: Uint8Array): { readonly type: FrameType; readonly body: Uint8Array } | null {
    const chunk = readHeader(frame)
    this.#receivedBytes += chunk.bytes.length
    this.#dropOver()
    // What is over stays over: the rest of a dropped transfer, or one sent again over a new link.
    if (chunk.transfer <= this.#taken.lastTransfer) {
      // Its sender has not heard of that, perhaps as the link broke that should have told it.
      this.#toldTransfer = 0
      return null
    }
    const one = this.#assembly ?? this.#begin(chunk)
    this.#checkNext(one, chunk)
    one.body.set(chunk.bytes, one.gotBytes)
    one.gotBytes += chunk.bytes.length
    one.at = this.#clock.now()
    if (one.gotBytes < one.body.length) return null
    this.#end(one.transfer)
    return { type: one.type as FrameType, body: one.body }
  }

  creditDue(): number | null {
    const isDue =
      this.#receivedBytes - this.#creditedBytes >= limits.bulkFirstWindowBytes / 2 ||
      (this.#taken.lastTransfer !== this.#toldTransfer && this.#assembly === null)
    if (!isDue) return null
    this.#toldTransfer = this.#taken.lastTransfer
    this.#creditedBytes = this.#receivedBytes
    return this.#receivedBytes
  }

  dropLate(now: number): Late | null {
    const late = this.#assembly
    if (late === null || now - late.at <= limits.chunkTimeoutMs) return null
    this.#end(late.transfer)
    const error = new ShoalError(
      'E_CHUNK_TIMEOUT',
      `Cannot finish transfer ${late.transfer} as its next chunk must come within ${limits.chunkTimeoutMs} ms: ${late.gotBytes} of ${late.body.length} bytes came`,
    )
    return { error, type: late.type as FrameType, start: late.body.subarray(0, late.gotBytes) }
  }

  close(): void {
    const ended = this.#assembly
    this.#assembly = null
    if (ended !== null) this.#budget.free(ended.body.length)
  }

  #begin(chunk: ChunkHeader): Assembly {
    if (chunk.total > limits.messageBytesMax) {
      this.#end(chunk.transfer)
      throw new ShoalError(
        'E_TOO_LARGE',
        `Cannot take a message as its size in bytes must be at most ${limits.messageBytesMax}: current value is ${chunk.total}`,
      )
    }
    if (chunk.index !== 0) {
      return this.#refuse(chunk.transfer, `its first index must be 0: current value is ${chunk.index}`)
    }
    if (!largeTypes.has(chunk.type)) {
      return this.#refuse(chunk.transfer, `its type must be one of a message: current value is ${chunk.type}`)
    }
    this.#budget.take(chunk.total)
    this.#assembly = {
      transfer: chunk.transfer,
      type: chunk.type,
      body: takeBody(chunk.total),
      gotBytes: 0,
      at: this.#clock.now(),
    }
    return this.#assembly
  }

  #checkNext(one: Assembly, chunk: ChunkHeader): void {
    const index = one.gotBytes / chunkBytes
    const wanted = Math.min(chunkBytes, one.body.length - one.gotBytes)
    if (chunk.transfer !== one.transfer) {
      this.#end(one.transfer)
      this.#refuse(
        chunk.transfer,
        `transfer ${one.transfer} must end first: current value is ${chunk.transfer}`,
      )
    }
    if (chunk.index !== index) {
      this.#refuse(one.transfer, `its index must be ${index}: current value is ${chunk.index}`)
    }
    if (chunk.total !== one.body.length || chunk.type !== one.type) {
      this.#refuse(one.transfer, `its total must stay ${one.body.length}: current value is ${chunk.total}`)
    }
    if (chunk.bytes.length !== wanted) {
      this.#refuse(one.transfer, `its size must be ${wanted}: current value is ${chunk.bytes.length}`)
    }
  }

  #refuse(transfer: number, reason: string): never {
    this.#end(transfer)
    throw new ShoalError('E_CHUNK', `Cannot take a chunk as ${reason}`)
  }

  /** The same body came whole over another link meanwhile. */
  #dropOver(): void {
    if (this.#assembly !== null && this.#assembly.transfer <= this.#taken.lastTransfer) this.close()
  }

  /** The transfer is over, well or not: its sender is told with the next credit. */
  #end(transfer: number): void {
    const ended = this.#assembly
    this.#assembly = null
    this.#taken.lastTransfer = Math.max(this.#taken.lastTransfer, transfer)
    if (ended !== null) this.#budget.free(ended.body.length)
  }
}

interface ChunkHeader {
  readonly transfer: number
  readonly index: number
  readonly total: number
  readonly type: number
  readonly bytes: Uint8Array
}

function readHeader(frame: Uint8Array): ChunkHeader {
  if (frame.length <= chunkHeaderBytes) {
    throw new ShoalError(
      'E_CHUNK',
      `Cannot take a chunk as it must carry bytes: current value is ${frame.length}`,
    )
  }
  return {
    transfer: readUint32(frame, 0),
    index: readUint32(frame, 4),
    total: readUint32(frame, 8),
    type: frame[12] as number,
    bytes: frame.subarray(chunkHeaderBytes),
  }
}
