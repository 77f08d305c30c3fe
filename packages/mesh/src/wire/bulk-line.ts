import { type Clock, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { packBody } from './body.ts'
import {
  type Budget,
  createIntake,
  cutChunk,
  type Intake,
  joinChunk,
  type LargeBody,
  sizeOf,
} from './chunks.ts'
import { readCredit } from './control.ts'
import { type FrameType, frameTypes } from './frames.ts'
import type { Pipe } from './pipe.ts'

/** A large body on its way out. */
export interface Transfer {
  readonly id: number
  readonly type: FrameType
  readonly body: LargeBody
  /** Called once, when the other side has it or never will. */
  readonly onOver: () => void
  startedAt: number
  sentBytes: number
}

export interface LineOptions {
  readonly pipe: Pipe
  /** Whether this is the control link itself: its other frames must not wait for chunks. */
  readonly isControl: boolean
  /** Whether this side opened the link. */
  readonly isOurs: boolean
  readonly clock: Clock
  readonly budget: Budget
  /** The other side's last body that is over, well or not; shared by the lines of one peer. */
  readonly taken: { lastTransfer: number }
  /** Whether the next chunk of this line may be taken: a line that its sender left must not go on. */
  mayTake(line: Line): boolean
  /** A whole body arrived; what this throws is a refusal. */
  deliver(type: FrameType, body: Uint8Array): void
  /** The rest of a body did not come in time; it is not sent again. */
  onLost(type: FrameType, start: Uint8Array): void
}

/** Chunks and credit over one link. Both directions may use it. */
export interface Line {
  readonly pipe: Pipe
  readonly isControl: boolean
  readonly isOurs: boolean
  /** Whether a body is half here. */
  readonly isHalf: boolean
  /** Whether something of the other side's is half here, or waits for memory. */
  readonly isBusy: boolean
  /** Whether the other side ever used the link: before, it may not even have accepted it. */
  readonly isProven: boolean
  readonly usedAt: number
  /** Sends what credit and watermark allow; `false`: the line takes no more for now. */
  send(transfer: Transfer): boolean
  onChunk(frame: Uint8Array): void
  /** @returns the last of our transfers that is over, well or not */
  onCredit(frame: Uint8Array): number
  /** Whether something of ours waits for the other side, and nothing has moved for long. */
  isStalled(now: number): boolean
  /** Gives up a body whose next chunk is late; a sender that waits for memory here is told that it is not forgotten. */
  tick(now: number): void
  /** Frees what is half here. The link itself stays as it is. */
  close(): void
}

export function createLine(options: LineOptions): Line {
  return new ChunkLine(options)
}

class ChunkLine implements Line {
  readonly pipe: Pipe
  readonly isControl: boolean
  readonly isOurs: boolean
  readonly #options: LineOptions
  readonly #intake: Intake
  /** Fresh memory for each chunk costs more than filling it. */
  readonly #memory = new Uint8Array(limits.chunkFrameBytes)
  /** Chunks that wait for memory: at most what their sender had credit for. */
  readonly #kept: Uint8Array[] = []
  #keptBytes = 0
  #sentBytes = 0
  #creditedBytes = 0
  #isProven = false
  /** When the link last moved: something was sent or heard, or less was buffered. */
  #movedAt: number
  #bufferedBytes = 0
  #usedAt: number
  #isClosed = false

  constructor(options: LineOptions) {
    this.pipe = options.pipe
    this.isControl = options.isControl
    this.isOurs = options.isOurs
    this.#options = options
    this.#intake = createIntake(options)
    this.#usedAt = options.clock.now()
    this.#movedAt = this.#usedAt
  }

  get isHalf(): boolean {
    return this.#intake.isBusy
  }

  get isBusy(): boolean {
    return this.#intake.isBusy || this.#kept.length > 0
  }

  get isProven(): boolean {
    return this.#isProven
  }

  get usedAt(): number {
    return this.#usedAt
  }

  send(transfer: Transfer): boolean {
    const { clock } = this.#options
    const { link } = this.pipe
    const bufferedBytesMax = this.#bufferedBytesMax()
    const frameBytesMax = this.pipe.hasParts ? limits.lineFrameBytes : limits.chunkFrameBytes
    const sizeBytes = sizeOf(transfer.body)
    while (transfer.sentBytes < sizeBytes) {
      const windowBytes = this.#isProven ? limits.bulkWindowBytes : limits.bulkFirstWindowBytes
      if (this.#sentBytes - this.#creditedBytes >= windowBytes) return false
      // Not at the limit itself: a link tells that it drained when it was above its low watermark.
      if (link.bufferedBytes > bufferedBytesMax) return false
      if (transfer.sentBytes === 0) transfer.startedAt = clock.now()
      const chunk = cutChunk(transfer, transfer.sentBytes, frameBytesMax)
      transfer.sentBytes += chunk.bytes
      this.#sentBytes += chunk.bytes
      this.#usedAt = clock.now()
      this.#movedAt = this.#usedAt
      if (this.pipe.hasParts) this.pipe.sendParts(frameTypes.chunk, chunk.front, chunk.rest)
      else this.pipe.sendFrame(frameTypes.chunk, joinChunk(chunk, this.#memory))
      // A link may close while it is given something: its bodies are on another one by now.
      if (this.#isClosed) return false
    }
    return true
  }

  onChunk(frame: Uint8Array): void {
    this.#used()
    if (this.#kept.length === 0 && !this.#intake.mustWait(frame)) this.#take(frame)
    else this.#keep(frame)
  }

  onCredit(frame: Uint8Array): number {
    this.#used()
    const { takenBytes, lastTransfer } = readCredit(frame)
    this.#creditedBytes = Math.min(this.#sentBytes, Math.max(this.#creditedBytes, takenBytes))
    return lastTransfer
  }

  isStalled(now: number): boolean {
    const { bufferedBytes } = this.pipe.link
    const isWaiting = this.#sentBytes > this.#creditedBytes
    if (!isWaiting || bufferedBytes < this.#bufferedBytes) this.#movedAt = now
    this.#bufferedBytes = bufferedBytes
    return now - this.#movedAt > limits.bulkStallMs
  }

  tick(now: number): void {
    if (this.#kept.length > 0) this.#sendCredit(this.#intake.creditedBytes)
    const late = this.#intake.dropLate(now)
    if (late === null) return
    this.pipe.refuse(late.error)
    this.#credit()
    this.#options.onLost(late.type, late.start)
  }

  close(): void {
    this.#isClosed = true
    this.#kept.length = 0
    this.#intake.close()
  }

  #bufferedBytesMax(): number {
    if (this.isControl) return limits.controlChunksBufferedBytesMax
    return this.pipe.hasParts ? limits.lineBufferedBytesMax : limits.bulkBufferedBytesMax
  }

  #used(): void {
    this.#isProven = true
    this.#usedAt = this.#options.clock.now()
    this.#movedAt = this.#usedAt
  }

  #take(frame: Uint8Array): void {
    if (!this.#options.mayTake(this)) return
    try {
      const whole = this.#intake.take(frame)
      if (whole !== null) this.#options.deliver(whole.type, whole.body)
    } finally {
      if (this.#intake.isOverdrawn) this.pipe.end(overdrawnError(limits.bulkWindowBytes))
      else this.#credit()
    }
  }

  /** No memory: no credit is given until another body is done, but other frames are still read. */
  #keep(frame: Uint8Array): void {
    this.#kept.push(frame)
    this.#keptBytes += frame.length
    const bytesMax = limits.bulkWindowBytes + limits.bulkFirstWindowBytes
    if (this.#keptBytes > bytesMax) this.pipe.end(overdrawnError(bytesMax))
    else if (this.#kept.length === 1) this.#options.budget.onFreed(() => this.#takeKept())
  }

  #takeKept(): void {
    while (!this.#isClosed && this.#kept[0] !== undefined) {
      const frame = this.#kept[0]
      if (this.#intake.mustWait(frame)) {
        this.#options.budget.onFreed(() => this.#takeKept())
        return
      }
      this.#kept.shift()
      this.#keptBytes -= frame.length
      try {
        this.#take(frame)
      } catch (error) {
        this.pipe.refuse(error)
      }
    }
  }

  /** Every quarter of the window, and at each end of a body. */
  #credit(): void {
    const due = this.#isClosed ? null : this.#intake.creditDue()
    if (due !== null) this.#sendCredit(due)
  }

  #sendCredit(takenBytes: number): void {
    this.pipe.send(frameTypes.credit, packBody([takenBytes, this.#options.taken.lastTransfer]))
  }
}

function overdrawnError(bytesMax: number): ShoalError {
  return new ShoalError(
    'E_LIMIT',
    `Cannot take more chunks as their sender must wait for credit: more than ${bytesMax} bytes came`,
  )
}
