import { type Clock, type CloseReason, type Link, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { packBody } from './body.ts'
import { decodeFrame, encodeFrame, type FrameType, frameTypes, readSeq, writeFrameHeader } from './frames.ts'
import { fitText } from './validate.ts'

/** Who reads the frames of a pipe, and what it lets through. */
export interface PipeReader {
  readonly bytesMax: number
  /** Frames per second, and as many at once. */
  readonly framesPerS: number
  /** What it throws is a refusal of this frame; the pipe goes on. */
  onFrame(type: FrameType, body: Uint8Array): void
}

export interface PipeOptions {
  readonly link: Link
  readonly clock: Clock
  readonly reader: PipeReader
  /** Everything refused on this pipe. */
  readonly onRefused: (error: ShoalError) => void
}

/**
 * Frames over one link: numbers them, refuses what is not in order, too large, too often or of no
 * known kind, and never lets an exception of a reader out.
 */
export interface Pipe {
  readonly link: Link
  send(type: FrameType, body: Uint8Array): void
  /** Sends a frame that has room for its header in front of its body. */
  sendFrame(type: FrameType, frame: Uint8Array): void
  /** Whether the link takes frames in two parts. */
  readonly hasParts: boolean
  /**
   * As `sendFrame`, with the end of the body apart: it is not copied, and must not change any more.
   * Only where `hasParts`.
   */
  sendParts(type: FrameType, front: Uint8Array, rest: Uint8Array): void
  setReader(reader: PipeReader): void
  /** Keeps what arrives, unread, until `release`. */
  hold(): void
  release(): void
  /** Reports an error to the log and to the sender; the pipe goes on. */
  refuse(error: unknown): void
  /**
   * Tells the sender why, and closes a moment later so that the word gets out. Until then only the
   * other side's own last word is read.
   */
  end(error: ShoalError): void
  onClose(listener: (reason: CloseReason) => void): void
  close(): void
}

/** Time that a last word gets before the link closes, in milliseconds. */
const lastWordMs = 250

export function createPipe(options: PipeOptions): Pipe {
  return new LinkPipe(options)
}

class LinkPipe implements Pipe {
  readonly link: Link
  readonly #clock: Clock
  readonly #onRefused: (error: ShoalError) => void
  readonly #rate: Rate
  readonly #refusals: Rate
  #reader: PipeReader
  #sent = 0
  #expected = 0
  #isHeld = false
  #isEnding = false
  #held: Uint8Array[] = []
  #heldBytes = 0

  constructor({ link, clock, reader, onRefused }: PipeOptions) {
    this.link = link
    this.#clock = clock
    this.#reader = reader
    this.#onRefused = onRefused
    this.#rate = createRate(clock)
    this.#refusals = createRate(clock)
    link.onMessage((message) => this.#receive(message))
  }

  send(type: FrameType, body: Uint8Array): void {
    this.link.send(encodeFrame(type, this.#sent, body))
    this.#sent = (this.#sent + 1) >>> 0
  }

  sendFrame(type: FrameType, frame: Uint8Array): void {
    this.link.send(writeFrameHeader(frame, type, this.#sent))
    this.#sent = (this.#sent + 1) >>> 0
  }

  get hasParts(): boolean {
    return this.link.sendParts !== undefined
  }

  sendParts(type: FrameType, front: Uint8Array, rest: Uint8Array): void {
    this.link.sendParts?.(writeFrameHeader(front, type, this.#sent), rest)
    this.#sent = (this.#sent + 1) >>> 0
  }

  setReader(reader: PipeReader): void {
    this.#reader = reader
  }

  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    while (!this.#isHeld && this.#held.length > 0) {
      const message = this.#held.shift() as Uint8Array
      this.#heldBytes -= message.length
      this.#read(message)
    }
  }

  refuse(error: unknown): void {
    const refusal = asShoalError(error)
    this.#onRefused(refusal)
    if (this.#refusals.take(limits.refusalsPerS)) this.#tell(refusal)
  }

  end(error: ShoalError): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#onRefused(error)
    this.#tell(error)
    this.release()
    this.#clock.setTimer(this.#clock.now() + lastWordMs, () => this.link.close())
  }

  onClose(listener: (reason: CloseReason) => void): void {
    this.link.onClose(listener)
  }

  close(): void {
    this.#isEnding = true
    this.link.close()
  }

  #tell(error: ShoalError): void {
    const epoch = error.data['epoch']
    const text = fitText(error.message, 200)
    try {
      this.send(frameTypes.refused, packBody([error.code, text, typeof epoch === 'number' ? epoch : null]))
    } catch {
      // A link that takes nothing more is closing: its close event tells.
    }
  }

  #receive(message: Uint8Array): void {
    if (!this.#isHeld) {
      this.#read(message)
      return
    }
    this.#heldBytes += message.length
    this.#held.push(message)
    if (this.#heldBytes <= limits.heldBytesMax) return
    const text = `Cannot keep early frames as they must be at most ${limits.heldBytesMax} bytes: current value is ${this.#heldBytes}`
    this.#held = []
    this.end(new ShoalError('E_TOO_LARGE', text))
  }

  #read(message: Uint8Array): void {
    if (this.#isEnding) {
      this.#readLastWord(message)
      return
    }
    const reader = this.#reader
    try {
      const isInOrder = this.#count(message)
      if (!this.#rate.take(reader.framesPerS)) {
        // One word per second: answering a flood would be another one.
        if (this.#rate.isFirstRefusal()) throw rateError(reader.framesPerS)
        return
      }
      if (!isInOrder) return
      const frame = decodeFrame(message, reader.bytesMax)
      reader.onFrame(frame.type, frame.body)
    } catch (error) {
      this.refuse(error)
    }
  }

  /** Two sides may refuse each other at once: each still has to hear why the other did. */
  #readLastWord(message: Uint8Array): void {
    try {
      const frame = decodeFrame(message, limits.helloBytesMax)
      if (frame.type === frameTypes.refused) this.#reader.onFrame(frame.type, frame.body)
    } catch {
      // Refused already: there is nothing left to refuse.
    }
  }

  /** `false`: seen before. A gap is told, but what comes after it is still good. */
  #count(message: Uint8Array): boolean {
    const seq = readSeq(message)
    if (seq === null) return true
    const ahead = (seq - this.#expected) | 0
    if (ahead < 0) {
      this.refuse(seqError('E_REPLAY', seq, this.#expected))
      return false
    }
    if (ahead > 0) this.refuse(seqError('E_SEQ', seq, this.#expected))
    this.#expected = (seq + 1) >>> 0
    return true
  }
}

interface Rate {
  take(perSecond: number): boolean
  /** Whether the last refused `take` is the first one within a second. */
  isFirstRefusal(): boolean
}

/** A bucket that holds one second's worth. */
function createRate(clock: Clock): Rate {
  let used = 0
  let drainedAt = clock.now()
  let refusedAt = Number.NEGATIVE_INFINITY
  return {
    take(perSecond) {
      const now = clock.now()
      used = Math.max(0, used - ((now - drainedAt) / 1000) * perSecond)
      drainedAt = now
      if (used + 1 > perSecond) return false
      used++
      return true
    },
    isFirstRefusal() {
      const isFirst = drainedAt - refusedAt >= 1000
      if (isFirst) refusedAt = drainedAt
      return isFirst
    },
  }
}

/** Any error as a refusal with a code: what is not ours is a bug, but still no reason to fall over. */
export function asShoalError(error: unknown): ShoalError {
  if (error instanceof ShoalError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new ShoalError('E_INVARIANT', `Cannot handle a frame as its handler failed: ${text}`, {
    cause: error,
  })
}

function seqError(code: string, seq: number, expected: number): ShoalError {
  return new ShoalError(
    code,
    `Cannot accept a frame as its sequence must be ${expected}: current value is ${seq}`,
  )
}

function rateError(perSecond: number): ShoalError {
  return new ShoalError(
    'E_RATE',
    `Cannot read all frames as there must be at most ${perSecond} per second: more arrived, the rest was dropped`,
  )
}
