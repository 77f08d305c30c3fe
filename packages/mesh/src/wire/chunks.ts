import { type Clock, ShoalError } from '@shoal/scheduler'
import { takeBody } from '../bodies.ts'
import { limits } from '../limits.ts'
import { type FrameType, frameHeaderBytes, frameTypes, readUint32, writeUint32 } from './frames.ts'

/** In front of each chunk: transfer, where in the whole it begins, total bytes (4 bytes each), type of the whole (1 byte). */
export const chunkHeaderBytes = 13

/** Bytes of every chunk but the last, at least; all of them on links with messages of that size. */
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

/** A chunk frame in two parts: the second one is a view of the body. */
export interface ChunkFrame {
  /** Room for the frame's own header, the chunk's header, and the body's head in the first chunk. */
  readonly front: Uint8Array
  readonly rest: Uint8Array
  /** What it carries of the body. */
  readonly bytes: number
}

/**
 * The chunk frame of what starts at `from`.
 * @param frameBytesMax of the link
 */
export function cutChunk(
  { id, type, body }: { readonly id: number; readonly type: FrameType; readonly body: LargeBody },
  from: number,
  frameBytesMax: number,
): ChunkFrame {
  const total = sizeOf(body)
  const bytes = Math.min(frameBytesMax - frameHeaderBytes - chunkHeaderBytes, total - from)
  const headBytes = from === 0 ? body.head.length : 0
  const front = new Uint8Array(frameHeaderBytes + chunkHeaderBytes + headBytes)
  const header = front.subarray(frameHeaderBytes)
  writeUint32(header, 0, id)
  writeUint32(header, 4, from)
  writeUint32(header, 8, total)
  header[12] = type
  if (headBytes > 0) header.set(body.head, chunkHeaderBytes)
  const restFrom = from + headBytes - body.head.length
  return { front, rest: body.rest.subarray(restFrom, restFrom + bytes - headBytes), bytes }
}

/** Puts a frame together: the only copy on the way out. */
export function joinChunk({ front, rest }: ChunkFrame, memory: Uint8Array): Uint8Array {
  memory.set(front)
  memory.set(rest, front.length)
  return memory.subarray(0, front.length + rest.length)
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
    return this.#receivedBytes - this.#creditedBytes > limits.bulkWindowBytes + limits.lineFrameBytes
  }

  mustWait(frame: Uint8Array): boolean {
    this.#dropOver()
    if (this.#assembly !== null || frame.length <= chunkHeaderBytes) return false
    const chunk = readHeader(frame)
    const { transfer, from, total } = chunk
    if (transfer <= this.#taken.lastTransfer || from !== 0 || total > limits.messageBytesMax) return false
    return !isWhole(chunk) && !this.#budget.hasRoom(total)
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
    if (this.#assembly === null) this.#checkFirst(chunk)
    if (this.#assembly === null && isWhole(chunk)) {
      this.#end(chunk.transfer)
      return { type: chunk.type as FrameType, body: chunk.bytes }
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

  #checkFirst(chunk: ChunkHeader): void {
    if (chunk.total > limits.messageBytesMax) {
      this.#end(chunk.transfer)
      throw new ShoalError(
        'E_TOO_LARGE',
        `Cannot take a message as its size in bytes must be at most ${limits.messageBytesMax}: current value is ${chunk.total}`,
      )
    }
    if (chunk.from !== 0) {
      this.#refuse(chunk.transfer, `the first one must begin at 0: current value is ${chunk.from}`)
    }
    if (!largeTypes.has(chunk.type)) {
      this.#refuse(chunk.transfer, `its type must be one of a message: current value is ${chunk.type}`)
    }
  }

  #begin(chunk: ChunkHeader): Assembly {
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
    const leftBytes = one.body.length - one.gotBytes
    if (chunk.transfer !== one.transfer) {
      this.#end(one.transfer)
      this.#refuse(
        chunk.transfer,
        `transfer ${one.transfer} must end first: current value is ${chunk.transfer}`,
      )
    }
    if (chunk.from !== one.gotBytes) {
      this.#refuse(one.transfer, `it must begin at ${one.gotBytes}: current value is ${chunk.from}`)
    }
    if (chunk.total !== one.body.length || chunk.type !== one.type) {
      this.#refuse(one.transfer, `its total must stay ${one.body.length}: current value is ${chunk.total}`)
    }
    const { length } = chunk.bytes
    if (length > leftBytes || length < Math.min(chunkBytes, leftBytes)) {
      const text = `its size must be at least ${chunkBytes}, or all of the ${leftBytes} bytes that are left`
      this.#refuse(one.transfer, `${text}: current value is ${length}`)
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
  /** Where in the whole it begins. */
  readonly from: number
  readonly total: number
  readonly type: number
  readonly bytes: Uint8Array
}

/** A whole body in a frame that links can only bring in memory of its own: it may be handed on as it is. */
function isWhole({ from, total, bytes }: ChunkHeader): boolean {
  return from === 0 && bytes.length === total && total > limits.chunkFrameBytes
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
    from: readUint32(frame, 4),
    total: readUint32(frame, 8),
    type: frame[12] as number,
    bytes: frame.subarray(chunkHeaderBytes),
  }
}
