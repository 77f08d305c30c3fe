import type { Link } from '@shoal/scheduler'
import { ShoalError } from '@shoal/scheduler'
import { CONNECTIONS_PER_ADDRESS_MAX, LINE_AGAIN_MS, LINE_CALL_TIMEOUT_MS } from '../limits.ts'
import type { ReportError } from '../listeners.ts'
import type { Base, OnRefused } from '../peerjs.types.ts'
import { createBulkLink } from './bulk-link.ts'
import { type ControlLink, createControlLink } from './control-link.ts'
import { callDoor, type Door, type Guest } from './door.ts'
import { isLoopback, type LineText, type Offer, readLineText } from './offer.ts'
import { createCredentials } from './proof.ts'

export interface PairOptions {
  readonly base: Base
  /** Whether this end dialled the base. */
  readonly isDialler: boolean
  /** Of the two ends one calls first: the one with the larger address. */
  readonly isFirst: boolean
  /** Whether the other end may be on this machine; one that listens on loopback itself always may. */
  readonly mayCallLoopback: boolean
  /** Whether the other end is known to understand text about lines. The dialler learns it from the first one. */
  readonly isAware: boolean
  /** This end's door, opened when it is first needed; `null`: it only calls. */
  door(): Promise<Door | null>
  /** The other end opened a bulk link. */
  onBulk(link: Link): void
  /** A line broke by itself: a reason to look whether its peer lives. */
  onHint(): void
  readonly onRefused: OnRefused
  readonly report: ReportError
}

/** A control link and the lines beside it. */
export interface Pair {
  readonly link: ControlLink
  /** A bulk link over a line of its own; `null`: no line can be had. */
  dialBulk(): Promise<Link> | null
}

/** A line that lasted so long was a good one. */
const goodLineMs = 10_000

export function createPair(options: PairOptions): Pair {
  return new LinkedPair(options)
}

class LinkedPair implements Pair {
  readonly link: ControlLink
  readonly #options: PairOptions
  readonly #own = createCredentials()
  #isTrusted = false
  #isOffering = false
  #hasOffered = false
  #theirs: Offer | null = null
  #door: Door | null = null
  #isCalling = false
  /** Whether this end calls again when a line breaks. */
  #isCaller = false
  #hasPassed = false
  /** When the next bulk link may try to be a line, by `performance.now()`. */
  #bulkFrom = 0
  #bulkCount = 0
  #pauseMs: number = LINE_AGAIN_MS.first
  #calledAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #isClosed = false

  constructor(options: PairOptions) {
    const { base, report, isFirst } = options
    this.#options = options
    this.#isCaller = isFirst
    this.link = createControlLink({
      base,
      report,
      onTrusted: () => this.#trust(),
      onLineGone: (isSudden) => this.#lineGone(isSudden),
    })
    // Who dialled without a word of lines has nothing to say of them.
    if (options.isDialler || options.isAware) base.onText((text) => this.#onText(text))
    this.link.onClose(() => this.#close())
  }

  dialBulk(): Promise<Link> | null {
    const theirs = this.#callable()
    const isKnown = this.link.nextLine > 1 && theirs !== null && theirs.hosts.length > 0
    if (!isKnown || performance.now() < this.#bulkFrom) return null
    const { report } = this.#options
    return callDoor(theirs, { channel: 'bulk', line: 0 }, LINE_CALL_TIMEOUT_MS).then(
      (stream) => createBulkLink(this.link.remoteAddress, stream, report),
      (error: unknown) => {
        // Perhaps there is a wall: the other end can call here, not the other way round.
        this.#bulkFrom = performance.now() + LINE_AGAIN_MS.max
        throw error
      },
    )
  }

  /** The other end has proved itself: it may learn where this one listens. */
  #trust(): void {
    this.#isTrusted = true
    if (!this.#options.isDialler && this.#options.isAware) void this.#offer()
    else if (this.#theirs !== null) void this.#offer()
  }

  async #offer(): Promise<void> {
    if (this.#isOffering) return
    this.#isOffering = true
    const door = await this.#options.door()
    if (this.#isClosed) return
    this.#door = door
    const guest: Guest = { ...this.#own, onLine: (proven) => this.#onLine(proven) }
    door?.admit(guest)
    this.#hasOffered = true
    this.#say({ type: 'offer', ...this.#own, hosts: door?.hosts ?? [], port: door?.port ?? 0 })
    this.#begin()
  }

  #onText(text: string): void {
    try {
      const said = readLineText(text)
      if (said.type === 'offer') this.#onOffer(said)
      else if (!this.#isTrusted) throw authRequired(said.type)
      else if (said.type === 'call') void this.#call()
      else if (said.type === 'moved') this.link.onMoved(said.line)
      else this.link.onBroken(said.line, said.taken)
    } catch (error) {
      const { code, message } =
        error instanceof ShoalError ? error : { code: 'E_INVARIANT', message: String(error) }
      this.#options.onRefused(code, message, this.link.remoteAddress)
    }
  }

  /** Who answered a dial may have checked the other's proof, and offer, before the dialler has checked its. */
  #onOffer(offer: Offer): void {
    if (!this.#isTrusted && !this.#options.isDialler) throw authRequired('offer')
    if (this.#theirs !== null) return
    this.#theirs = offer
    if (!this.#isTrusted) return
    void this.#offer()
    this.#begin()
  }

  /** Not before the other end can call back. */
  #begin(): void {
    if (this.#theirs === null || !this.#hasOffered || !this.#options.isFirst) return
    void this.#call()
  }

  async #call(): Promise<void> {
    const theirs = this.#callable()
    if (theirs === null || this.#isCalling || this.#isClosed || this.link.isFast) return
    this.#isCalling = true
    const line = this.link.nextLine
    try {
      const stream = await callDoor(theirs, { channel: 'control', line }, LINE_CALL_TIMEOUT_MS)
      this.#calledAt = performance.now()
      this.#isCaller = true
      this.#hasPassed = true
      this.link.attach(line, stream)
    } catch {
      this.#failed()
    } finally {
      this.#isCalling = false
    }
  }

  /** Nobody makes this peer talk to what else runs on its machine. */
  #callable(): Offer | null {
    const isOwn = this.#options.mayCallLoopback || this.#door?.hosts.some(isLoopback) === true
    const theirs = this.#theirs
    if (theirs === null || isOwn) return theirs
    return { ...theirs, hosts: theirs.hosts.filter((host) => !isLoopback(host)) }
  }

  /** Perhaps the other end can call this one. */
  #failed(): void {
    if (this.#isClosed) return
    if (!this.#hasPassed) {
      this.#hasPassed = true
      this.#isCaller = false
      this.#bulkFrom = Number.POSITIVE_INFINITY
      if (this.#options.isFirst) this.#say({ type: 'call' })
    } else if (this.#isCaller) this.#callLater()
  }

  #onLine({ channel, line, stream }: Parameters<Guest['onLine']>[0]): void {
    if (channel === 'control') {
      this.link.attach(line, stream)
      return
    }
    if (this.#bulkCount >= CONNECTIONS_PER_ADDRESS_MAX) {
      stream.destroy()
      return
    }
    this.#bulkCount++
    const link = createBulkLink(this.link.remoteAddress, stream, this.#options.report)
    link.onClose(() => this.#bulkCount--)
    this.#options.onBulk(link)
  }

  #lineGone(isSudden: boolean): void {
    if (isSudden) this.#options.onHint()
    if (!this.#isCaller || this.#isClosed) return
    if (performance.now() - this.#calledAt > goodLineMs) this.#pauseMs = LINE_AGAIN_MS.first
    this.#callLater()
  }

  #callLater(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#call(), this.#pauseMs)
    this.#timer.unref?.()
    this.#pauseMs = Math.min(LINE_AGAIN_MS.max, this.#pauseMs * 2)
  }

  #say(text: LineText): void {
    this.#options.base.sendText(JSON.stringify(text))
  }

  #close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#door?.dismiss(this.#own.id)
  }
}

function authRequired(type: string): ShoalError {
  const text = `Cannot read what a peer says of its lines as it must prove itself first: it sent "${type}"`
  return new ShoalError('E_AUTH_REQUIRED', text)
}
