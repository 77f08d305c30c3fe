import type { CloseReason, Link } from '@shoal/scheduler'
import { LINE_STALL_MS, LOW_WATERMARK_BYTES, MESSAGE_BYTES_MAX } from '../limits.ts'
import { tooLarge } from '../link.errors.ts'
import { createLinkEvents, type LinkEvents, type ReportError } from '../listeners.ts'
import type { Base } from '../peerjs.types.ts'
import type { LineText } from './offer.ts'
import { kinds, type Stream } from './stream.ts'

/** A control link that moves to a TCP line, and back when that breaks, without losing or doubling a message. */
export interface ControlLink extends Link {
  trust(): void
  /** Whether what is sent goes over a line now. */
  readonly isFast: boolean
  /** The number that the next line gets. */
  readonly nextLine: number
  /** Takes a proven line; one that is late, or one too many, is ended. */
  attach(line: number, stream: Stream): void
  /** What the other side says of a line. */
  onMoved(line: number): void
  onBroken(line: number, taken: number): void
}

export interface ControlLinkOptions {
  readonly base: Base
  readonly report: ReportError
  onTrusted(): void
  /** A line is gone although the link lives. `isSudden`: the other side's system says so, or nothing does. */
  onLineGone(isSudden: boolean): void
}

/** How often the other side is told what was taken in, at the latest: messages, bytes, milliseconds. */
const takenMessages = 64
const takenBytesMax = 262_144
const tickMs = 500

const nothing = new Uint8Array(0)

export function createControlLink(options: ControlLinkOptions): ControlLink {
  return new MovingLink(options)
}

class MovingLink implements ControlLink {
  readonly #base: Base
  readonly #events: LinkEvents
  readonly #options: ControlLinkOptions
  #line: Stream | null = null
  /** Of the present line, or of the last one. */
  #number = 0
  /** The last line that the other side moved to. */
  #movedIn = 0
  /** `waiting`: the line broke, and the other side has yet to say what it got. */
  #out: 'base' | 'line' | 'waiting' = 'base'
  /** The line that `#sent` went over. */
  #outLine = 0
  /** What the other side may not have taken in. */
  #sent: Uint8Array[] = []
  /** Messages of the line before those. */
  #sentBefore = 0
  #sentAt = 0
  #held: Uint8Array[] = []
  #heldBytes = 0
  #taken = 0
  #takenTold = 0
  #takenBytes = 0
  #timer: ReturnType<typeof setInterval> | undefined
  #tickedAt = 0
  /** Why the base closed, while the line goes on. */
  #baseGone: CloseReason | null = null

  constructor(options: ControlLinkOptions) {
    const { base, report } = options
    this.#options = options
    this.#base = base
    this.#events = createLinkEvents(report)
    base.onMessage((message) => this.#deliver(message))
    base.onDrain(() => this.#drained())
    base.onClose((reason) => this.#onBaseClosed(reason))
  }

  get remoteAddress(): string {
    return this.#base.remoteAddress
  }

  get channel(): Link['channel'] {
    return this.#base.channel
  }

  get messageBytesMax(): number {
    return MESSAGE_BYTES_MAX
  }

  get binding(): Link['binding'] {
    return this.#base.binding
  }

  get bufferedBytes(): number {
    if (this.#events.isClosed) return 0
    // What the base had to send when the link moved is all that it ever will have meanwhile.
    if (this.#out === 'line') return this.#line?.bufferedBytes ?? 0
    return this.#base.bufferedBytes + this.#heldBytes + (this.#line?.bufferedBytes ?? 0)
  }

  get isFast(): boolean {
    return this.#out === 'line' && !this.#events.isClosed
  }

  get nextLine(): number {
    return this.#number + 1
  }

  trust(): void {
    this.#options.onTrusted()
  }

  send(message: Uint8Array): void {
    if (message.byteLength > MESSAGE_BYTES_MAX) throw tooLarge(message.byteLength)
    if (this.#events.isClosed) return
    if (this.#out === 'base') this.#base.send(message)
    else if (this.#out === 'line') this.#sendFast(message)
    else {
      this.#held.push(message.slice())
      this.#heldBytes += message.byteLength
    }
  }

  onMessage(listener: (message: Uint8Array) => void): () => void {
    return this.#events.onMessage(listener)
  }

  onDrain(listener: () => void): () => void {
    return this.#events.onDrain(listener)
  }

  onClose(listener: (reason: CloseReason) => void): () => void {
    return this.#events.onClose(listener)
  }

  close(): void {
    this.#end('closed-here')
  }

  attach(line: number, stream: Stream): void {
    if (this.#events.isClosed || this.#line !== null || line <= this.#number) {
      stream.destroy()
      return
    }
    this.#line = stream
    this.#number = line
    this.#taken = 0
    this.#takenTold = 0
    this.#takenBytes = 0
    stream.setReader({
      bytesMax: MESSAGE_BYTES_MAX,
      onMessage: (kind, body) => this.#onLineMessage(kind, body),
      onDrain: () => this.#drained(),
      onGone: () => this.#break(true),
    })
    this.#tickedAt = performance.now()
    this.#timer = setInterval(() => this.#tick(), tickMs)
    this.#timer.unref?.()
    // What the other side sent before it moved is still under way over the base.
    if (this.#movedIn === line) stream.resume()
    else stream.pause()
    this.#move()
  }

  onMoved(line: number): void {
    this.#movedIn = line
    if (this.#line !== null && this.#number === line) this.#line.resume()
  }

  onBroken(line: number, taken: number): void {
    if (line === this.#number) this.#break(false)
    else if (line > this.#number) {
      // It broke before it came here.
      this.#number = line
      this.#tell({ type: 'broken', line, taken: 0 })
    }
    if (this.#out !== 'base' && line === this.#outLine) this.#moveBack(taken)
  }

  /** From here on everything goes over the line, if there is one and nothing is unsettled. */
  #move(): void {
    if (this.#line === null || this.#out !== 'base') return
    this.#tell({ type: 'moved', line: this.#number })
    this.#out = 'line'
    this.#outLine = this.#number
    this.#sentBefore = 0
  }

  /** Of the line's messages the other side took in so many: the others go again. */
  #moveBack(taken: number): void {
    const sent = this.#sent
    const first = taken - this.#sentBefore
    if (first < 0 || first > sent.length) {
      this.#end('protocol')
      return
    }
    const held = this.#held
    this.#sent = []
    this.#held = []
    this.#heldBytes = 0
    this.#out = 'base'
    for (const message of sent.slice(first)) this.#base.send(message)
    for (const message of held) this.#base.send(message)
    this.#move()
    this.#drained()
  }

  #sendFast(message: Uint8Array): void {
    if (this.#sent.length === 0) this.#sentAt = performance.now()
    this.#sent.push((this.#line as Stream).send(kinds.data, message))
  }

  #onLineMessage(kind: number, body: Uint8Array): void {
    if (kind === kinds.data) {
      this.#taken++
      this.#takenBytes += body.length
      if (this.#taken - this.#takenTold >= takenMessages || this.#takenBytes >= takenBytesMax)
        this.#tellTaken()
      this.#deliver(body)
    } else if (kind === kinds.bye) this.#end('bye')
    else if (kind !== kinds.taken || !this.#onTaken(body)) this.#break(false)
  }

  /** `false`: that cannot be. */
  #onTaken(body: Uint8Array): boolean {
    if (body.length !== 4 || this.#out !== 'line') return false
    const taken = new DataView(body.buffer, body.byteOffset, 4).getUint32(0)
    const count = taken - this.#sentBefore
    if (count < 0 || count > this.#sent.length) return false
    this.#sent.splice(0, count)
    this.#sentBefore = taken
    this.#sentAt = performance.now()
    return true
  }

  #tellTaken(): void {
    this.#takenTold = this.#taken
    this.#takenBytes = 0
    const body = new Uint8Array(4)
    new DataView(body.buffer).setUint32(0, this.#taken)
    this.#line?.send(kinds.taken, body)
  }

  #tick(): void {
    const now = performance.now()
    // Who was held up itself has not looked yet at what came meanwhile.
    const isLate = now - this.#tickedAt > 2 * tickMs
    this.#tickedAt = now
    if (this.#taken > this.#takenTold) this.#tellTaken()
    if (this.#line === null || isLate || this.#sent.length === 0) return
    if (now - Math.max(this.#line.heardAt, this.#sentAt) > LINE_STALL_MS) this.#break(false)
  }

  /** Gives the line up, tells so, and how far it came. */
  #break(isSudden: boolean): void {
    const line = this.#line
    if (line === null || this.#events.isClosed) return
    this.#dropLine()
    line.destroy()
    if (this.#baseGone !== null) {
      this.#end(this.#baseGone)
      return
    }
    this.#tell({ type: 'broken', line: this.#number, taken: this.#taken })
    if (this.#out === 'line') this.#out = 'waiting'
    this.#options.onLineGone(isSudden)
  }

  #dropLine(): void {
    clearInterval(this.#timer)
    this.#line = null
  }

  #tell(text: LineText): void {
    this.#base.sendText(JSON.stringify(text))
  }

  #deliver(message: Uint8Array): void {
    if (!this.#events.deliver(message)) this.#end('protocol')
  }

  #drained(): void {
    if (this.bufferedBytes <= LOW_WATERMARK_BYTES) this.#events.drained()
  }

  #onBaseClosed(reason: CloseReason): void {
    const isCarried = this.#line !== null && this.#out === 'line' && this.#movedIn === this.#number
    // A goodbye is still to come over the line, or the line outlives a WebRTC that gave up.
    if (isCarried && reason !== 'closed-here') this.#baseGone = reason
    else this.#end(reason)
  }

  #end(reason: CloseReason): void {
    if (!this.#events.close(reason)) return
    const line = this.#line
    this.#dropLine()
    this.#sent = []
    this.#held = []
    if (line !== null) {
      if (reason === 'closed-here') line.send(kinds.bye, nothing)
      line.close()
    }
    this.#base.close()
  }
}
