import type { Clock, CloseReason, Link } from '@shoal/scheduler'
import { ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { packBody } from './body.ts'
import { type Budget, createIntake, encodeChunk, type Intake } from './chunks.ts'
import { readCredit } from './control.ts'
import { type FrameType, frameTypes } from './frames.ts'
import { createPipe, type Pipe } from './pipe.ts'

export interface BulkOptions {
  readonly clock: Clock
  /** Bytes being put together, shared by all peers. */
  readonly budget: Budget
  dial(): Promise<Link>
  /** Says over the control link that this bulk link is ours: the token is used once. */
  announce(token: Uint8Array, link: Link): void
  random(length: number): Uint8Array
  /** A whole body arrived; what this throws is a refusal. */
  deliver(type: FrameType, body: Uint8Array): void
  onRefused(error: ShoalError): void
  /** Bytes per millisecond over the last transfer that was large enough to tell. */
  onMeasured(bytesPerMs: number): void
  /** Life was seen on a bulk link. */
  onLife(): void
}

/**
 * Large bodies to and from one peer, over links that are opened when first needed. Bodies arrive in
 * the order in which they were sent, each once, also across a link that broke, or they are reported.
 */
export interface Bulk {
  send(type: FrameType, body: Uint8Array): void
  /** Whether bodies of this type are still on their way: what comes next must follow them. */
  isBusyWith(type: FrameType): boolean
  /** Takes over a link that the other side opened and that is known to be its. */
  adopt(pipe: Pipe): void
  /** Does what is due: time-outs and idle links. */
  tick(): void
  close(): void
}

interface Transfer {
  readonly id: number
  readonly type: FrameType
  readonly body: Uint8Array
  startedAt: number
  sentBytes: number
}

/** One bulk link. Both directions may use it. */
interface Line {
  readonly pipe: Pipe
  readonly isOurs: boolean
  readonly intake: Intake
  sentBytes: number
  creditedBytes: number
  usedAt: number
}

/** Links that may fail one after the other before what waits is given up. */
const attemptsMax = 4
const retryMs = 300
/** Transfers below this say more about the round trip than about the link. */
const measuredBytesMin = 131_072

export function createBulk(options: BulkOptions): Bulk {
  return new LinkedBulk(options)
}

class LinkedBulk implements Bulk {
  readonly #options: BulkOptions
  readonly #lines = new Set<Line>()
  /** Sent or not, but not yet taken in by the other side; in order. */
  readonly #waiting: Transfer[] = []
  /** The other side's last body that was taken in (or refused): survives broken links. */
  readonly #taken = { lastTransfer: 0 }
  /** The first of `waiting` that is not sent to its end. */
  #cursor = 0
  #nextId = 1
  #isDialling = false
  #failures = 0
  #isClosed = false

  constructor(options: BulkOptions) {
    this.#options = options
  }

  send(type: FrameType, body: Uint8Array): void {
    if (this.#isClosed) return
    const startedAt = this.#options.clock.now()
    this.#waiting.push({ id: this.#nextId++, type, body, startedAt, sentBytes: 0 })
    this.#pump()
  }

  isBusyWith(type: FrameType): boolean {
    return this.#waiting.some((transfer) => transfer.type === type)
  }

  adopt(pipe: Pipe): void {
    if (this.#isClosed) {
      pipe.close()
      return
    }
    this.#addLine(pipe, false)
    this.#pump()
  }

  tick(): void {
    const now = this.#options.clock.now()
    for (const line of [...this.#lines]) {
      const late = line.intake.dropLate(now)
      if (late !== null) {
        line.pipe.refuse(late)
        this.#credit(line)
      }
      const isIdle = this.#waiting.length === 0 && !line.intake.isBusy
      // The one who opened it closes it; the other one only if that fails.
      if (isIdle && now - line.usedAt > limits.bulkIdleMs * (line.isOurs ? 1 : 2)) line.pipe.close()
    }
    this.#pump()
  }

  close(): void {
    this.#isClosed = true
    this.#waiting.length = 0
    for (const line of [...this.#lines]) {
      line.intake.close()
      line.pipe.close()
    }
    this.#lines.clear()
  }

  #pump(): void {
    if (this.#isClosed || this.#cursor >= this.#waiting.length) return
    const line = this.#lines.values().next().value
    if (line === undefined) {
      this.#connect()
      return
    }
    for (; this.#cursor < this.#waiting.length; this.#cursor++) {
      if (!this.#sendOn(line, this.#waiting[this.#cursor] as Transfer)) return
    }
  }

  /** `false`: the line takes no more for now. */
  #sendOn(line: Line, transfer: Transfer): boolean {
    const { clock } = this.#options
    while (transfer.sentBytes < transfer.body.length) {
      if (line.sentBytes - line.creditedBytes >= limits.bulkWindowBytes) return false
      if (line.pipe.link.bufferedBytes >= limits.bulkBufferedBytesMax) return false
      if (transfer.sentBytes === 0) transfer.startedAt = clock.now()
      const chunk = encodeChunk(transfer.id, transfer.type, transfer.body, transfer.sentBytes)
      line.pipe.send(frameTypes.chunk, chunk.frame)
      transfer.sentBytes += chunk.bytes
      line.sentBytes += chunk.bytes
      line.usedAt = clock.now()
    }
    return true
  }

  #connect(): void {
    if (this.#isDialling || this.#isClosed) return
    this.#isDialling = true
    this.#options.dial().then(
      (link) => {
        this.#isDialling = false
        if (this.#isClosed) link.close()
        else this.#opened(link)
      },
      (error: unknown) => {
        this.#isDialling = false
        this.#failed(error)
      },
    )
  }

  #opened(link: Link): void {
    const { clock, onRefused, random, announce } = this.#options
    const token = random(16)
    announce(token, link)
    const pipe = createPipe({ link, clock, reader: closedReader, onRefused })
    pipe.send(frameTypes.bulkHello, token)
    this.#addLine(pipe, true)
    this.#pump()
  }

  #failed(cause: unknown): void {
    if (this.#isClosed || this.#waiting.length === 0) return
    const { clock } = this.#options
    if (++this.#failures < attemptsMax) {
      clock.setTimer(clock.now() + retryMs * this.#failures, () => this.#pump())
      return
    }
    this.#failures = 0
    this.#cursor = 0
    const lost = this.#waiting.splice(0)
    const text = `Cannot send large messages as a bulk link must come about: ${lost.length} were dropped`
    this.#options.onRefused(new ShoalError('E_DIAL', text, { cause }))
  }

  #addLine(pipe: Pipe, isOurs: boolean): void {
    const { clock, budget } = this.#options
    const intake = createIntake({ clock, budget, taken: this.#taken })
    const line: Line = { pipe, isOurs, intake, sentBytes: 0, creditedBytes: 0, usedAt: clock.now() }
    this.#lines.add(line)
    pipe.link.onDrain(() => this.#pump())
    pipe.onClose((reason) => this.#dropLine(line, reason))
    pipe.setReader({
      bytesMax: limits.chunkFrameBytes,
      framesPerS: limits.memberFramesPerS,
      onFrame: (type, body) => this.#onFrame(line, type, body),
    })
  }

  /** What was on the way is sent again over the next link: the other side knows what it has. */
  #dropLine(line: Line, reason: CloseReason): void {
    if (!this.#lines.delete(line)) return
    line.intake.close()
    for (const transfer of this.#waiting) transfer.sentBytes = 0
    this.#cursor = 0
    if (line.sentBytes > 0) this.#failed(reason)
  }

  #onFrame(line: Line, type: FrameType, body: Uint8Array): void {
    line.usedAt = this.#options.clock.now()
    this.#options.onLife()
    if (type === frameTypes.credit) this.#onCredit(line, body)
    else if (type === frameTypes.chunk) this.#onChunk(line, body)
    else if (type !== frameTypes.refused) {
      const text = `Cannot read a frame as a bulk link carries chunks only: current value is ${type}`
      throw new ShoalError('E_TYPE', text)
    }
  }

  #onChunk(line: Line, body: Uint8Array): void {
    if (line.intake.mustWait(body)) {
      this.#wait(line, body)
      return
    }
    try {
      const whole = line.intake.take(body)
      if (whole !== null) this.#options.deliver(whole.type, whole.body)
    } finally {
      if (line.intake.isOverdrawn) line.pipe.close()
      else this.#credit(line)
    }
  }

  /** No memory: nothing more is read, and no credit given, until another body is done. */
  #wait(line: Line, body: Uint8Array): void {
    line.pipe.hold()
    this.#options.budget.onFreed(() => {
      if (!this.#lines.has(line)) return
      try {
        this.#onChunk(line, body)
      } catch (error) {
        line.pipe.refuse(error)
      }
      if (!line.intake.mustWait(body)) line.pipe.release()
    })
  }

  /** Every quarter of the window, and at each end of a body. */
  #credit(line: Line): void {
    const due = line.intake.creditDue()
    if (due !== null) line.pipe.send(frameTypes.credit, packBody([due, this.#taken.lastTransfer]))
  }

  #onCredit(line: Line, body: Uint8Array): void {
    const { takenBytes, lastTransfer } = readCredit(body)
    line.creditedBytes = Math.min(line.sentBytes, Math.max(line.creditedBytes, takenBytes))
    this.#failures = 0
    while (this.#waiting[0] !== undefined && this.#waiting[0].id <= lastTransfer) {
      const done = this.#waiting.shift() as Transfer
      if (this.#cursor > 0) this.#cursor--
      const elapsedMs = this.#options.clock.now() - done.startedAt
      if (done.body.length >= measuredBytesMin && elapsedMs > 0) {
        this.#options.onMeasured(done.body.length / elapsedMs)
      }
    }
    this.#pump()
  }
}

const closedReader = { bytesMax: limits.helloBytesMax, framesPerS: 10, onFrame: () => {} }
