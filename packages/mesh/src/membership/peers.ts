import { type Clock, type CloseReason, type Link, type PeerId, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { createBulk } from '../wire/bulk.ts'
import { type BulkDoor, createBulkDoor } from '../wire/bulk-door.ts'
import { type Budget, createBudget } from '../wire/chunks.ts'
import { createIncoming, type Remote, type SessionHandlers } from '../wire/incoming.ts'
import { asShoalError, createPipe, type Pipe } from '../wire/pipe.ts'
import { createSession, type Session } from '../wire/session.ts'
import { createDialer, type Dialer } from './dialer.ts'
import { farewell, farewellMs } from './farewell.ts'
import { createFences, type Fences, staleError } from './fences.ts'
import { addressOf, createGossip, type Gossip } from './gossip.ts'
import { shakeHands } from './handshake.ts'
import type { Peers, PeersOptions } from './peers.types.ts'
import { createView, type View } from './view.ts'

interface Known {
  readonly remote: Remote
  readonly address: string
  session: Session | null
  /** Whether this side dialled the session's link. */
  readonly isOurs: boolean
  readonly openedAt: number
}

/** Two links to one peer within this time were dialled at the same time, in milliseconds. */
const sameTimeMs = 5_000
/** A fence further above our epoch than this is a lie, or a mistake that we do not follow. */
const fenceJumpMax = 1_000_000

export function createPeers(options: PeersOptions): Peers {
  const table = new PeerTable(options)
  table.start()
  return table
}

class PeerTable implements Peers {
  readonly #options: PeersOptions
  readonly #clock: Clock
  readonly #known = new Map<PeerId, Known>()
  /** Addresses that this side dialled and whose hello is under way. */
  readonly #greeting = new Set<string>()
  readonly #fences: Fences = createFences()
  readonly #banned = new Set<PeerId>()
  readonly #budget: Budget = createBudget()
  readonly #door: BulkDoor
  readonly #dialer: Dialer
  readonly #view: View
  readonly #gossip: Gossip
  #epoch: number
  #hellos = 0
  #isLeaving = false

  constructor(options: PeersOptions) {
    const { clock, transport, rng, role, hooks } = options
    this.#options = options
    this.#clock = clock
    this.#epoch = options.epoch
    this.#door = createBulkDoor({ clock, onRefused: (error, from) => this.#refused(error, from) })
    this.#dialer = createDialer({
      transport,
      clock,
      rng,
      role,
      isLinked: (address) => this.#greeting.has(address) || this.#sessionAt(address) !== undefined,
      onLink: (link) => void this.#greet(link, true),
    })
    this.#gossip = createGossip(clock.now(), () => this.#sessions())
    this.#view = createView({
      clock,
      detector: options.detector,
      beat: (peer) => {
        for (const session of this.#sessions()) {
          if (peer === null || session.remote.peer === peer) session.heartbeat()
        }
      },
      ask: (helper, peer) => this.session(helper)?.probe(peer),
      answer: (asker, peer, isAlive) => this.session(asker)?.probed(peer, isAlive),
      onEvent: hooks.onView,
      onDead: (peer) => this.#drop(peer),
    })
  }

  start(): void {
    const { transport } = this.#options
    transport.onLink((link) => {
      if (link.channel === 'bulk') this.#door.onLink(link)
      else void this.#greet(link, false)
    })
    transport.onSeen((address) => this.#dialer.seen(address, null))
    transport.onGone((address) => {
      const session = this.#sessionAt(address)
      if (session === undefined) this.#dialer.forget(address)
      else {
        session.heartbeat()
        this.#view.hinted(session.remote.peer)
      }
    })
    this.#tick()
  }

  get epoch(): number {
    return this.#epoch
  }

  list(): readonly Remote[] {
    return [...this.#known.values()].map((one) => one.remote)
  }

  session(peer: PeerId): Session | null {
    return this.#known.get(peer)?.session ?? null
  }

  ban(peer: PeerId): void {
    this.#banned.add(peer)
    const one = this.#known.get(peer)
    if (one === undefined) return
    this.#known.delete(peer)
    one.session?.pipe.end(bannedError(peer))
    this.#view.left(peer, 'dead')
    this.#gone(one.remote)
    this.#dialer.failed(one.address)
  }

  async leave(withinMs: number = farewellMs): Promise<void> {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#dialer.close()
    this.#door.close()
    const sessions = this.#sessions()
    for (const session of sessions) session.goodbye()
    await farewell(
      sessions.map((session) => session.pipe.link),
      this.#clock,
      Math.min(withinMs, farewellMs),
    )
    for (const session of this.#sessions()) session.close()
    this.#known.clear()
    await this.#options.transport.close()
  }

  #sessions(): readonly Session[] {
    return [...this.#known.values()].flatMap((one) => (one.session === null ? [] : [one.session]))
  }

  #sessionAt(address: string): Session | undefined {
    return this.#sessions().find((session) => addressOf(session) === address)
  }

  #refused(error: ShoalError, from: string): void {
    this.#options.hooks.onRefused({ code: error.code, message: error.message, from })
  }

  /** Refuses a hello by throwing. Its identity is claimed, not yet proved. */
  #admit(claimed: Remote): void {
    if (this.#banned.has(claimed.peer)) throw bannedError(claimed.peer)
    const held = this.#known.get(claimed.peer)
    const fence = Math.max(this.#fences.of(claimed.peer), (held?.remote.epoch ?? 0) - 1)
    if (claimed.epoch <= fence) throw staleError(claimed, fence)
    if (held !== undefined || this.#known.size < limits.linksMax) return
    throw new ShoalError(
      'E_LIMIT',
      `Cannot link another peer as there must be at most ${limits.linksMax}: current value is ${this.#known.size}`,
    )
  }

  async #greet(link: Link, isDialler: boolean): Promise<void> {
    const from = link.remoteAddress
    if (this.#isLeaving || this.#hellos >= limits.hellosMax) {
      link.close()
      return
    }
    const clock = this.#clock
    const pipe = createPipe({
      link,
      clock,
      reader: noReader,
      onRefused: (error) => this.#refused(error, from),
    })
    const epoch = this.#epoch
    this.#hellos++
    if (isDialler) this.#greeting.add(from)
    try {
      const admit = (claimed: Remote): void => this.#admit(claimed)
      const remote = await shakeHands({ ...this.#options, pipe, isDialler, epoch, admit })
      this.#established(pipe, remote, isDialler)
    } catch (error) {
      if (isDialler) this.#greeting.delete(from)
      this.#notGreeted(asShoalError(error), from, epoch)
    } finally {
      this.#hellos--
      if (isDialler) this.#greeting.delete(from)
    }
  }

  #notGreeted(error: ShoalError, from: string, epoch: number): void {
    const isTheirs = error.data['isTheirs'] === true
    if (isTheirs) this.#refused(error, from)
    if (isTheirs && error.code === 'E_EPOCH_STALE') {
      this.#fencedBy(from, epoch, error.data['epoch'])
      return
    }
    if (error.code === 'E_FORBIDDEN') this.#dialer.succeeded(from, 'contributor')
    this.#dialer.failed(from)
  }

  /** Others gave this peer up at `epoch`: it comes back at a higher one. */
  #fencedBy(address: string, epoch: number, fence: unknown): void {
    const isFence = typeof fence === 'number' && fence <= epoch + fenceJumpMax
    this.#epoch = Math.max(this.#epoch, epoch + 1, isFence ? fence + 1 : 0)
    this.#options.hooks.onEpoch(this.#epoch)
    for (const [peer, one] of this.#known) {
      if (one.address === address) this.#forget(peer, 'fenced')
    }
    this.#dialer.again(address)
  }

  #established(pipe: Pipe, remote: Remote, isDialler: boolean): void {
    const address = pipe.link.remoteAddress
    const old = this.#known.get(remote.peer)
    if (this.#isLeaving || !this.#isBetter(old, pipe, isDialler, remote)) {
      pipe.close()
      return
    }
    const session = this.#open(pipe, remote)
    const isNew = old === undefined || old.remote.epoch < remote.epoch
    this.#known.set(remote.peer, { remote, address, session, isOurs: isDialler, openedAt: this.#clock.now() })
    if (isNew) old?.session?.pipe.end(supersededError(remote))
    else old.session?.close()
    this.#dialer.succeeded(address, remote.role)
    if (old !== undefined) this.#tellMember(old.remote, false)
    this.#view.joined(remote, isNew)
    this.#tellMember(remote, true)
    this.#gossip.tell(session)
    if (isNew) this.#gossip.introduce(session)
    this.#options.hooks.onReach(remote.peer)
    pipe.link.trust?.()
    pipe.release()
  }

  /**
   * Of two links that were made at the same time both ends must keep the same one: the one that the larger
   * address dialled. Later on, whoever dials again has lost the link that this side still holds.
   */
  #isBetter(old: Known | undefined, pipe: Pipe, isDialler: boolean, remote: Remote): boolean {
    if (old === undefined || old.session === null || remote.epoch > old.remote.epoch) return true
    if (this.#clock.now() - old.openedAt > sameTimeMs || old.isOurs === isDialler) return true
    return this.#options.transport.address > pipe.link.remoteAddress === isDialler
  }

  #open(pipe: Pipe, remote: Remote): Session {
    const { role, transport, random } = this.#options
    const { peer } = remote
    const clock = this.#clock
    const address = pipe.link.remoteAddress
    const handlers = this.#handlersOf(remote, address, () => session)
    const incoming = createIncoming({ remote, selfRole: role, clock, pipe, handlers })
    const bulk = createBulk({
      clock,
      budget: this.#budget,
      control: pipe,
      isOnline: () => transport.isOnline,
      dial: () => transport.dial(address, 'bulk'),
      announce: (token, { binding }) =>
        session.sendTicket({
          token,
          localFingerprint: binding?.local ?? null,
          remoteFingerprint: binding?.remote ?? null,
        }),
      random,
      deliver: incoming.onFrame,
      onLost: incoming.onLost,
      onRefused: (error) => this.#refused(error, address),
      onMeasured: (bytesPerMs) => this.#view.measured(peer, { bytesPerMs }),
      onLife: handlers.onLife,
    })
    const session: Session = createSession({ remote, selfRole: role, pipe, bulk, clock, handlers })
    return session
  }

  #handlersOf(remote: Remote, address: string, session: () => Session): SessionHandlers {
    const { hooks, identity } = this.#options
    const { peer } = remote
    /** Wraps what only the peer's present link may say. */
    const ifCurrent =
      <A extends readonly unknown[]>(act: (...args: A) => void) =>
      (...args: A): void => {
        if (this.#known.get(peer)?.session === session()) act(...args)
      }
    return {
      onLife: ifCurrent(() => this.#view.heard(peer)),
      onMessages: ifCurrent((messages) => hooks.onMessages(peer, messages)),
      onReplica: ifCurrent((message) => hooks.onReplica(peer, message)),
      onRoundTrip: (rttMs) => this.#view.measured(peer, { rttMs }),
      onProbe: (target) => this.#view.probe(peer, target),
      onProbed: (target, isAlive) => this.#view.probed(peer, target, isAlive),
      onPeers: (found) => {
        for (const hint of found) this.#dialer.seen(hint.address, hint.role)
      },
      onWanted: (request, hash) => hooks.onWanted(peer, request, hash),
      onOperation: (request, text) => hooks.onOperation(peer, request, text),
      onPieceWanted: (wanted, via) => hooks.onPieceWanted(peer, wanted, via),
      onPiece: ifCurrent((request, bytes) => hooks.onPiece(peer, request, bytes)),
      onPieceLost: ifCurrent((request) => hooks.onPieceLost(peer, request)),
      onTicket: (ticket) => this.#door.onTicket(ticket, session().bulk),
      onRefusedBy: ifCurrent((code, message, fence) => {
        if (code !== 'E_EPOCH_STALE') return
        const text = `Cannot go on with a peer as it gave this one up: ${message}`
        this.#refused(new ShoalError(code, text), address)
        this.#fencedBy(address, this.#epoch, fence)
      }),
      onGoodbye: ifCurrent(() => {
        this.#dialer.forget(address)
        this.#forget(peer, 'left')
      }),
      onClose: ifCurrent((reason) => this.#lost(peer, address, reason)),
      onUnsent: (error) => this.#refused(asShoalError(error), identity.peer),
    }
  }

  /** The link closed without a goodbye: call again at once, while others are asked. */
  #lost(peer: PeerId, address: string, reason: CloseReason): void {
    const one = this.#known.get(peer)
    if (one === undefined || this.#isLeaving) return
    one.session = null
    this.#options.hooks.onReach(peer)
    this.#view.linkLost(peer, reason === 'bye')
    if (this.#known.has(peer)) this.#dialer.again(address)
  }

  /** Fences a peer that this one gave up, and tells it so in case it still hears. */
  #drop(peer: PeerId): void {
    const one = this.#known.get(peer)
    if (one === undefined) return
    this.#known.delete(peer)
    this.#fences.raise(peer, one.remote.epoch)
    one.session?.pipe.end(staleError(one.remote, one.remote.epoch))
    this.#gone(one.remote)
    this.#dialer.failed(one.address)
  }

  /** The peer left, or gave this one up: in the second case its own epoch stays good. */
  #forget(peer: PeerId, cause: 'left' | 'fenced'): void {
    const one = this.#known.get(peer)
    if (one === undefined) return
    this.#known.delete(peer)
    if (cause === 'left') this.#fences.raise(peer, one.remote.epoch)
    one.session?.close()
    this.#view.left(peer, cause)
    this.#gone(one.remote)
  }

  #gone(remote: Remote): void {
    this.#tellMember(remote, false)
    this.#options.hooks.onReach(remote.peer)
  }

  #tellMember(remote: Remote, isPresent: boolean): void {
    const { role, hooks } = this.#options
    if (role === 'member' && remote.role === 'member') hooks.onMember(remote.peer, isPresent)
  }

  #tick(): void {
    if (this.#isLeaving) return
    const now = this.#clock.now()
    this.#clock.setTimer(now + this.#view.tickMs, () => this.#tick())
    this.#view.tick()
    for (const session of this.#sessions()) session.tick()
    this.#dialer.run()
    this.#gossip.tick(now)
  }
}

function bannedError(peer: PeerId): ShoalError {
  const text = `Cannot accept ${peer} as it wrote two histories of one document: it is banned from here`
  return new ShoalError('E_BANNED', text)
}

function supersededError(remote: Remote): ShoalError {
  return new ShoalError(
    'E_SUPERSEDED',
    `Cannot keep two links to one peer as one must do: ${remote.peer} has another one`,
  )
}

/** Until the hello sets its own. */
const noReader = { bytesMax: limits.helloBytesMax, framesPerS: 16, onFrame: (): void => {} }
