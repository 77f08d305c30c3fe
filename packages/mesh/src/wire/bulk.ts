import { type Clock, type Link, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { createLine, type Line, type Transfer } from './bulk-line.ts'
import { type Budget, type LargeBody, sizeOf } from './chunks.ts'
import { type FrameType, frameTypes } from './frames.ts'
import { createPipe, type Pipe } from './pipe.ts'

export interface BulkOptions {
  readonly clock: Clock
  /** Bytes being put together, shared by all peers. */
  readonly budget: Budget
  /** The peer's authenticated control link: takes the chunks while no bulk link can be had. */
  readonly control: Pipe
  /** Whether a dial has a chance now; while it has none, nothing waits for one. */
  isOnline(): boolean
  dial(): Promise<Link>
  /** Says over the control link that this bulk link is ours: the token is used once. */
  announce(token: Uint8Array, link: Link): void
  random(length: number): Uint8Array
  /** A whole body arrived; what this throws is a refusal. */
  deliver(type: FrameType, body: Uint8Array): void
  /** A body of which this came is given up, and not sent again. */
  onLost(type: FrameType, start: Uint8Array): void
  onRefused(error: ShoalError): void
  /** Bytes per millisecond over the last transfer that was large enough to tell. */
  onMeasured(bytesPerMs: number): void
  /** Life was seen on a bulk link. */
  onLife(): void
}

/**
 * Large bodies to and from one peer, over links that are opened when first needed, or over the control
 * link while none can be opened. Bodies arrive in the order in which they were sent, each once, also
 * across a link that broke; none is given up while the control link lives.
 */
export interface Bulk {
  send(type: FrameType, body: Uint8Array): void
  /** As `send`, without a copy: `onOver` is called once, when the other side has the body or never will. */
  sendLarge(type: FrameType, body: LargeBody, onOver: () => void): void
  /** Whether bodies of this type are still on their way: what comes next must follow them. */
  isBusyWith(type: FrameType): boolean
  /** Takes over a link that the other side opened and that is known to be its. */
  adopt(pipe: Pipe): void
  /** A chunk, or credit for one, that came over the control link. */
  onControlFrame(type: FrameType, body: Uint8Array): void
  /** Does what is due: time-outs and idle links. */
  tick(): void
  close(): void
}

/** A dial that takes longer does not hold up what waits: it goes over the control link. In milliseconds. */
const slowDialMs = 2_000
/** Pause after a dial that failed, in milliseconds. */
const dialAgainMs = 3_000
/** Transfers below this say more about the round trip than about the link. */
const measuredBytesMin = 131_072

export function createBulk(options: BulkOptions): Bulk {
  return new LinkedBulk(options)
}

class LinkedBulk implements Bulk {
  readonly #options: BulkOptions
  /** Bulk links. */
  readonly #lines = new Set<Line>()
  readonly #control: Line
  /** Where the last transfer went: what is under way there ends before another line is used. */
  #line: Line | null = null
  /** Sent or not, but not yet taken in by the other side; in order. */
  readonly #waiting: Transfer[] = []
  /** The other side's last body that was taken in (or refused): survives broken links. */
  readonly #taken = { lastTransfer: 0 }
  /** The first of `waiting` that is not sent to its end. */
  #cursor = 0
  #nextId = 1
  #isDialling = false
  #dialAt = Number.NEGATIVE_INFINITY
  /** Whether no bulk link came about when one was last needed: the control link does its work. */
  #isBlocked = false
  #isClosed = false

  constructor(options: BulkOptions) {
    this.#options = options
    this.#control = this.#createLine(options.control, { isControl: true, isOurs: false })
    options.control.link.onDrain(() => this.#pump())
  }

  send(type: FrameType, body: Uint8Array): void {
    this.sendLarge(type, { head: nothing, rest: body }, () => {})
  }

  sendLarge(type: FrameType, body: LargeBody, onOver: () => void): void {
    if (this.#isClosed) {
      onOver()
      return
    }
    const startedAt = this.#options.clock.now()
    this.#waiting.push({ id: this.#nextId++, type, body, onOver, startedAt, sentBytes: 0 })
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

  onControlFrame(type: FrameType, body: Uint8Array): void {
    if (!this.#isClosed) this.#onFrame(this.#control, type, body)
  }

  tick(): void {
    if (this.#isClosed) return
    const now = this.#options.clock.now()
    this.#control.tick(now)
    for (const line of [...this.#lines]) {
      line.tick(now)
      // Its bodies go over the next one: some stacks keep a link open that carries nothing any more.
      if (line.isStalled(now)) {
        line.pipe.close()
        this.#dropLine(line)
      }
      const isIdle = this.#waiting.length === 0 && !line.isBusy
      // The one who opened it closes it; the other one only if that fails.
      if (isIdle && now - line.usedAt > limits.bulkIdleMs * (line.isOurs ? 1 : 2)) line.pipe.close()
    }
    this.#pump()
  }

  close(): void {
    this.#isClosed = true
    for (const { onOver } of this.#waiting.splice(0)) onOver()
    this.#cursor = 0
    const lines = [...this.#lines]
    this.#lines.clear()
    this.#control.close()
    for (const line of lines) {
      line.close()
      line.pipe.close()
    }
  }

  #pump(): void {
    if (this.#isClosed || this.#cursor >= this.#waiting.length) return
    const best = this.#bestLine()
    for (; this.#cursor < this.#waiting.length; this.#cursor++) {
      const transfer = this.#waiting[this.#cursor] as Transfer
      // A body must not overtake those that are under way elsewhere: they would count as over.
      if (transfer.sentBytes === 0 && this.#line !== best) {
        if (best === null || this.#cursor > 0) return
        this.#line = best
      }
      if (this.#line === null || !this.#line.send(transfer)) return
    }
  }

  /** `null`: wait for the dial that is under way. */
  #bestLine(): Line | null {
    const line = this.#lines.values().next().value
    if (line !== undefined) return line
    this.#connect()
    if (!this.#options.isOnline()) this.#isBlocked = true
    return this.#isBlocked ? this.#control : null
  }

  #connect(): void {
    const { clock, dial } = this.#options
    const now = clock.now()
    if (this.#isDialling || now < this.#dialAt) return
    this.#isDialling = true
    const cancel = clock.setTimer(now + slowDialMs, () => {
      this.#isBlocked = true
      this.#pump()
    })
    const settle = (): void => {
      cancel()
      this.#isDialling = false
    }
    dial().then(
      (link) => {
        settle()
        if (this.#isClosed) link.close()
        else this.#opened(link)
      },
      () => {
        settle()
        this.#failed()
        this.#pump()
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

  #failed(): void {
    this.#isBlocked = true
    this.#dialAt = this.#options.clock.now() + dialAgainMs
  }

  #addLine(pipe: Pipe, isOurs: boolean): void {
    const line = this.#createLine(pipe, { isControl: false, isOurs })
    this.#lines.add(line)
    this.#isBlocked = false
    pipe.link.onDrain(() => this.#pump())
    pipe.onClose(() => this.#dropLine(line))
    pipe.setReader({
      bytesMax: limits.lineFrameBytes,
      framesPerS: limits.memberFramesPerS,
      onFrame: (type, body) => this.#onFrame(line, type, body),
    })
  }

  #createLine(pipe: Pipe, kind: { readonly isControl: boolean; readonly isOurs: boolean }): Line {
    const { clock, budget, deliver, onLost } = this.#options
    const mayTake = (line: Line): boolean => this.#mayTake(line)
    return createLine({ ...kind, pipe, clock, budget, deliver, onLost, taken: this.#taken, mayTake })
  }

  /** What was on the way is sent again over the next link: the other side knows what it has. */
  #dropLine(line: Line): void {
    if (!this.#lines.delete(line)) return
    line.close()
    if (!line.isProven) this.#failed()
    if (line === this.#line) {
      this.#line = null
      for (const transfer of this.#waiting) transfer.sentBytes = 0
      this.#cursor = 0
    }
    this.#pump()
  }

  /**
   * A sender leaves a line with a body half sent only when that line broke, and the first chunk elsewhere may
   * be here before the word of it. The control link is never left so: the session would end with it.
   */
  #mayTake(line: Line): boolean {
    if (this.#isClosed) return false
    if (!line.isControl && this.#control.isHalf) {
      line.pipe.close()
      return false
    }
    for (const other of [...this.#lines]) if (other !== line && other.isHalf) other.pipe.close()
    return true
  }

  #onFrame(line: Line, type: FrameType, body: Uint8Array): void {
    this.#options.onLife()
    if (type === frameTypes.credit) this.#onCredit(line, body)
    else if (type === frameTypes.chunk) line.onChunk(body)
    else if (type !== frameTypes.refused) {
      const text = `Cannot read a frame as a bulk link carries chunks only: current value is ${type}`
      throw new ShoalError('E_TYPE', text)
    }
  }

  #onCredit(line: Line, body: Uint8Array): void {
    const lastTransfer = line.onCredit(body)
    while (this.#waiting[0] !== undefined && this.#waiting[0].id <= lastTransfer) {
      const done = this.#waiting.shift() as Transfer
      if (this.#cursor > 0) this.#cursor--
      done.onOver()
      const elapsedMs = this.#options.clock.now() - done.startedAt
      const sizeBytes = sizeOf(done.body)
      if (sizeBytes >= measuredBytesMin && elapsedMs > 0) {
        this.#options.onMeasured(sizeBytes / elapsedMs)
      }
    }
    this.#pump()
  }
}

const nothing = new Uint8Array(0)
const closedReader = { bytesMax: limits.helloBytesMax, framesPerS: 10, onFrame: () => {} }
