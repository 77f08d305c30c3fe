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
  const { clock } = options
  const lines = new Set<Line>()
  /** Sent or not, but not yet taken in by the other side; in order. */
  const waiting: Transfer[] = []
  /** The first of `waiting` that is not sent to its end. */
  let cursor = 0
  let nextId = 1
  /** The other side's last body that was taken in (or refused): survives broken links. */
  const taken = { lastTransfer: 0 }
  let isDialling = false
  let failures = 0
  let isClosed = false

  function pump(): void {
    if (isClosed || cursor >= waiting.length) return
    const line: Line | undefined = lines.values().next().value
    if (line === undefined) return connect()
    for (; cursor < waiting.length; cursor++) {
      const transfer = waiting[cursor] as Transfer
      while (transfer.sentBytes < transfer.body.length) {
        if (line.sentBytes - line.creditedBytes >= limits.bulkWindowBytes) return
        if (line.pipe.link.bufferedBytes >= limits.bulkBufferedBytesMax) return
        if (transfer.sentBytes === 0) transfer.startedAt = clock.now()
        const chunk = encodeChunk(transfer.id, transfer.type, transfer.body, transfer.sentBytes)
        line.pipe.send(frameTypes.chunk, chunk.frame)
        transfer.sentBytes += chunk.bytes
        line.sentBytes += chunk.bytes
        line.usedAt = clock.now()
      }
    }
  }

  function connect(): void {
    if (isDialling || isClosed) return
    isDialling = true
    options.dial().then(
      (link) => {
        isDialling = false
        if (isClosed) return link.close()
        const token = options.random(16)
        options.announce(token, link)
        const line = addLine(
          createPipe({ link, clock, reader: closedReader, onRefused: options.onRefused }),
          true,
        )
        line.pipe.send(frameTypes.bulkHello, token)
        line.pipe.setReader(readerOf(line))
        pump()
      },
      (error: unknown) => {
        isDialling = false
        failed(error)
      },
    )
  }

  function failed(cause: unknown): void {
    if (isClosed || waiting.length === 0) return
    if (++failures < attemptsMax) {
      clock.setTimer(clock.now() + retryMs * failures, pump)
      return
    }
    failures = 0
    cursor = 0
    const lost = waiting.splice(0)
    options.onRefused(
      new ShoalError(
        'E_DIAL',
        `Cannot send large messages as a bulk link must come about: ${lost.length} were dropped`,
        { cause },
      ),
    )
  }

  function addLine(pipe: Pipe, isOurs: boolean): Line {
    const intake = createIntake({ clock, budget: options.budget, taken })
    const line: Line = { pipe, isOurs, intake, sentBytes: 0, creditedBytes: 0, usedAt: clock.now() }
    lines.add(line)
    pipe.link.onDrain(pump)
    pipe.onClose((reason) => dropLine(line, reason))
    return line
  }

  function dropLine(line: Line, reason: CloseReason): void {
    if (!lines.delete(line)) return
    line.intake.close()
    const wasUsed = line.sentBytes > 0
    for (const transfer of waiting) transfer.sentBytes = 0
    cursor = 0
    if (waiting.length > 0 && wasUsed) failed(reason)
  }

  const readerOf = (line: Line) => ({
    bytesMax: limits.chunkFrameBytes,
    framesPerS: limits.memberFramesPerS,
    onFrame: (type: FrameType, body: Uint8Array) => onFrame(line, type, body),
  })

  function onFrame(line: Line, type: FrameType, body: Uint8Array): void {
    line.usedAt = clock.now()
    options.onLife()
    if (type === frameTypes.credit) return onCredit(line, body)
    if (type === frameTypes.refused) return
    if (type !== frameTypes.chunk) {
      throw new ShoalError(
        'E_TYPE',
        `Cannot read a frame as a bulk link carries chunks only: current value is ${type}`,
      )
    }
    if (line.intake.mustWait(body)) return wait(line, body)
    try {
      const whole = line.intake.take(body)
      if (whole !== null) options.deliver(whole.type, whole.body)
    } catch (error) {
      if (line.intake.isOverdrawn) line.pipe.close()
      throw error
    } finally {
      credit(line)
    }
  }

  /** No memory: nothing more is read, and no credit given, until another body is done. */
  function wait(line: Line, body: Uint8Array): void {
    line.pipe.hold()
    options.budget.onFreed(() => {
      try {
        onFrame(line, frameTypes.chunk, body)
      } catch (error) {
        line.pipe.refuse(error)
      }
      if (!line.intake.mustWait(body)) line.pipe.release()
    })
  }

  /** Every quarter of the window, and at each end of a body. */
  function credit(line: Line): void {
    const due = line.intake.creditDue()
    if (due !== null) line.pipe.send(frameTypes.credit, packBody([due, taken.lastTransfer]))
  }

  function onCredit(line: Line, body: Uint8Array): void {
    const { takenBytes, lastTransfer } = readCredit(body)
    line.creditedBytes = Math.min(line.sentBytes, Math.max(line.creditedBytes, takenBytes))
    failures = 0
    while (waiting[0] !== undefined && waiting[0].id <= lastTransfer) {
      const done = waiting.shift() as Transfer
      if (cursor > 0) cursor--
      const elapsedMs = clock.now() - done.startedAt
      if (done.body.length >= measuredBytesMin && elapsedMs > 0)
        options.onMeasured(done.body.length / elapsedMs)
    }
    pump()
  }

  return {
    send(type, body) {
      if (isClosed) return
      waiting.push({ id: nextId++, type, body, startedAt: clock.now(), sentBytes: 0 })
      pump()
    },
    isBusyWith: (type) => waiting.some((transfer) => transfer.type === type),
    adopt(pipe) {
      if (isClosed) return pipe.close()
      pipe.setReader(readerOf(addLine(pipe, false)))
      pump()
    },
    tick() {
      const now = clock.now()
      for (const line of [...lines]) {
        const late = line.intake.dropLate(now)
        if (late !== null) {
          line.pipe.refuse(late)
          credit(line)
        }
        const idleMs = now - line.usedAt
        const isIdle = waiting.length === 0 && !line.intake.isBusy
        if (isIdle && idleMs > limits.bulkIdleMs * (line.isOurs ? 1 : 2)) line.pipe.close()
      }
      pump()
    },
    close() {
      isClosed = true
      waiting.length = 0
      for (const line of [...lines]) {
        line.intake.close()
        line.pipe.close()
      }
      lines.clear()
    },
  }
}

const closedReader = { bytesMax: limits.helloBytesMax, framesPerS: 10, onFrame: () => {} }
