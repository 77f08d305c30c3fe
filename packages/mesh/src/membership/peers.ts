import {
  type Clock,
  type CloseReason,
  type DetectorOptions,
  type Link,
  type Message,
  type OperationHash,
  type PeerId,
  type PeerRole,
  type Rng,
  ShoalError,
  type Transport,
  type ViewEvent,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import type { Refusal } from '../room.types.ts'
import { createBulk } from '../wire/bulk.ts'
import { type BulkDoor, createBulkDoor } from '../wire/bulk-door.ts'
import { type Budget, createBudget } from '../wire/chunks.ts'
import type { AddressHint, OperationText } from '../wire/control.ts'
import { asShoalError, createPipe, type Pipe } from '../wire/pipe.ts'
import {
  createIncoming,
  createSession,
  type Remote,
  type Session,
  type SessionHandlers,
} from '../wire/session.ts'
import type { Identity, RoomKeys } from './crypto.ts'
import { createDialer, type Dialer } from './dialer.ts'
import { createFences, type Fences, staleError } from './fences.ts'
import { shakeHands } from './handshake.ts'
import { createView, type View } from './view.ts'

export interface PeersOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly rng: Rng
  readonly random: (length: number) => Uint8Array
  readonly identity: Identity
  readonly keys: RoomKeys
  readonly role: PeerRole
  readonly room: string
  readonly epoch: number
  readonly detector: Partial<DetectorOptions>
  readonly hooks: PeersHooks
}

export interface PeersHooks {
  onView(event: ViewEvent): void
  /** A member came (again, after a gap in what it sent), or went. */
  onMember(peer: PeerId, isPresent: boolean): void
  onMessages(from: PeerId, messages: readonly Message[]): void
  onReplica(from: PeerId, message: Uint8Array): void
  onWanted(from: PeerId, request: number, hash: OperationHash): void
  onOperation(from: PeerId, request: number, text: OperationText | null): void
  onRefused(refusal: Refusal): void
}

/** Everybody in the room: links, sessions, who is alive, who is fenced. */
export interface Peers {
  /** Rises when others had given this peer up and it said hello again. */
  readonly epoch: number
  list(): readonly Remote[]
  /** `null`: not in the view, or its link is being made again. */
  session(peer: PeerId): Session | null
  leave(): Promise<void>
}

interface Known {
  readonly remote: Remote
  readonly address: string
  session: Session | null
}

/** Pause between two rounds of telling others the addresses that this peer is linked to. */
const gossipMs = 15_000
/** Longest wait for others to close their ends when this peer leaves. */
const farewellMs = 200

export function createPeers(options: PeersOptions): Peers {
  const { transport, clock, hooks, identity } = options
  const known = new Map<PeerId, Known>()
  /** Addresses whose hello is under way. */
  const greeting = new Set<string>()
  const fences: Fences = createFences()
  const budget: Budget = createBudget()
  let epoch = options.epoch
  let isLeaving = false
  let gossipAt = clock.now() + gossipMs

  const door: BulkDoor = createBulkDoor({ clock, onRefused: (error, from) => refused(error, from) })
  const dialer: Dialer = createDialer({
    transport,
    clock,
    rng: options.rng,
    role: options.role,
    isLinked: (address) => greeting.has(address) || sessions().some((one) => addressOf(one) === address),
    onLink: (link) => void greet(link, true),
  })
  const view: View = createView({
    clock,
    detector: options.detector,
    beat(peer) {
      for (const session of sessions()) if (peer === null || session.remote.peer === peer) session.heartbeat()
    },
    ask: (helper, peer) => known.get(helper)?.session?.probe(peer),
    answer: (asker, peer, isAlive) => known.get(asker)?.session?.probed(peer, isAlive),
    onEvent: hooks.onView,
    onDead: drop,
  })

  function sessions(): readonly Session[] {
    return [...known.values()].flatMap((one) => (one.session === null ? [] : [one.session]))
  }

  function refused(error: ShoalError, from: string): void {
    hooks.onRefused({ code: error.code, message: error.message, from })
  }

  function admit(claimed: Remote): void {
    const fence = Math.max(fences.of(claimed.peer), (known.get(claimed.peer)?.remote.epoch ?? 0) - 1)
    if (claimed.epoch <= fence) throw staleError(claimed, fence)
    if (known.has(claimed.peer) || known.size < limits.linksMax) return
    throw new ShoalError(
      'E_LIMIT',
      `Cannot link another peer as there must be at most ${limits.linksMax}: current value is ${known.size}`,
    )
  }

  async function greet(link: Link, isDialler: boolean): Promise<void> {
    const from = link.remoteAddress
    if (isLeaving || greeting.size >= limits.hellosMax) {
      link.close()
      return
    }
    const pipe = createPipe({ link, clock, reader: noReader, onRefused: (error) => refused(error, from) })
    if (isDialler) greeting.add(from)
    const told = epoch
    try {
      const remote = await shakeHands({ ...options, pipe, isDialler, epoch: told, admit })
      greeting.delete(from)
      established(pipe, remote, isDialler)
    } catch (error) {
      greeting.delete(from)
      notGreeted(asShoalError(error), from, told)
    }
  }

  function notGreeted(error: ShoalError, from: string, told: number): void {
    const isTheirs = error.data['isTheirs'] === true
    if (isTheirs) refused(error, from)
    if (isTheirs && error.code === 'E_EPOCH_STALE') {
      fencedBy(from, told, error.data['epoch'])
      return
    }
    if (error.code === 'E_FORBIDDEN') dialer.succeeded(from, 'contributor')
    dialer.failed(from)
  }

  /** Others gave this peer up at epoch `told`: it comes back at a higher one. */
  function fencedBy(address: string, told: number, fence: unknown): void {
    const atLeast = typeof fence === 'number' && fence < Number.MAX_SAFE_INTEGER ? fence : told
    epoch = Math.max(epoch, told + 1, atLeast + 1)
    for (const [peer, one] of known) {
      if (one.address === address) forget(peer, 'dead')
    }
    dialer.again(address)
  }

  function established(pipe: Pipe, remote: Remote, isDialler: boolean): void {
    const address = pipe.link.remoteAddress
    const old = known.get(remote.peer)
    if (isLeaving || !isBetter(old, pipe, isDialler, remote)) {
      pipe.end(supersededError(remote))
      return
    }
    const session = open(pipe, remote)
    if (isDialler) dialled.add(session)
    known.set(remote.peer, { remote, address, session })
    old?.session?.pipe.end(supersededError(remote))
    dialer.succeeded(address, remote.role)
    const isNew = old === undefined || old.remote.epoch < remote.epoch
    if (old !== undefined) tellMember(old.remote, false)
    view.joined(remote, isNew)
    tellMember(remote, true)
    session.sendPeers(hints(remote))
    for (const other of sessions()) {
      if (isNew && other !== session && isUseful(other.remote, remote)) {
        other.sendPeers([{ address, role: remote.role }])
      }
    }
    pipe.release()
  }

  /** Both ends must keep the same one of two links: the one that the larger address dialled, else the newer. */
  function isBetter(old: Known | undefined, pipe: Pipe, isDialler: boolean, remote: Remote): boolean {
    const held = old?.session ?? null
    if (held === null || remote.epoch > held.remote.epoch) return true
    const isOldByUs = dialled.has(held)
    const isLarger = transport.address > pipe.link.remoteAddress
    return isOldByUs === isDialler || isLarger === isDialler
  }

  /** Sessions whose link this side dialled. */
  const dialled = new WeakSet<Session>()

  function open(pipe: Pipe, remote: Remote): Session {
    const { peer } = remote
    const address = pipe.link.remoteAddress
    const handlers = handlersOf(remote, pipe, () => session)
    const incoming = createIncoming({ remote, selfRole: options.role, clock, pipe, handlers })
    const bulk = createBulk({
      clock,
      budget,
      dial: () => transport.dial(address, 'bulk'),
      announce: (token, { binding }) =>
        session.sendTicket({
          token,
          localFingerprint: binding?.local ?? null,
          remoteFingerprint: binding?.remote ?? null,
        }),
      random: options.random,
      deliver: (type, body) => incoming.onFrame(type, body),
      onRefused: (error) => refused(error, address),
      onMeasured: (bytesPerMs) => view.measured(peer, { bytesPerMs }),
      onLife: () => view.heard(peer),
    })
    const session: Session = createSession({ remote, selfRole: options.role, pipe, bulk, clock, handlers })
    return session
  }

  function handlersOf(remote: Remote, pipe: Pipe, session: () => Session): SessionHandlers {
    const { peer } = remote
    const address = pipe.link.remoteAddress
    const isCurrent = (): boolean => known.get(peer)?.session === session()
    return {
      onLife: () => {
        if (isCurrent()) view.heard(peer)
      },
      onMessages: (messages) => {
        if (isCurrent()) hooks.onMessages(peer, messages)
      },
      onReplica: (message) => {
        if (isCurrent()) hooks.onReplica(peer, message)
      },
      onRoundTrip: (rttMs) => view.measured(peer, { rttMs }),
      onProbe: (target) => view.probe(peer, target),
      onProbed: (target, isAlive) => view.probed(peer, target, isAlive),
      onPeers: (found) => {
        for (const hint of found) dialer.seen(hint.address, hint.role)
      },
      onWanted: (request, hash) => hooks.onWanted(peer, request, hash),
      onOperation: (request, text) => hooks.onOperation(peer, request, text),
      onTicket: (ticket) => door.onTicket(ticket, session().bulk),
      onRefusedBy: (code, message, fence) => {
        if (code !== 'E_EPOCH_STALE' || !isCurrent()) return
        refused(new ShoalError(code, `Cannot go on with a peer as it gave this one up: ${message}`), address)
        fencedBy(address, epoch, fence)
      },
      onGoodbye: () => {
        if (!isCurrent()) return
        dialer.forget(address)
        forget(peer, 'left')
      },
      onClose: (reason) => closed(peer, session(), reason),
      onUnsent: (error) => refused(asShoalError(error), identity.peer),
    }
  }

  function closed(peer: PeerId, session: Session, _reason: CloseReason): void {
    const one = known.get(peer)
    if (one?.session !== session) return
    one.session = null
    view.linkLost(peer)
    if (known.has(peer)) dialer.again(one.address)
  }

  /** Fences a peer that this one gave up, and tells it so in case it still hears. */
  function drop(peer: PeerId): void {
    const one = known.get(peer)
    if (one === undefined) return
    known.delete(peer)
    fences.raise(peer, one.remote.epoch)
    one.session?.pipe.end(staleError(one.remote, one.remote.epoch))
    tellMember(one.remote, false)
    dialer.failed(one.address)
  }

  /** The peer left, or gave this one up: no fence in the second case, for its epoch stays good. */
  function forget(peer: PeerId, cause: 'left' | 'dead'): void {
    const one = known.get(peer)
    if (one === undefined) return
    known.delete(peer)
    if (cause === 'left') fences.raise(peer, one.remote.epoch)
    one.session?.close()
    view.left(peer, cause)
    tellMember(one.remote, false)
  }

  function tellMember(remote: Remote, isPresent: boolean): void {
    if (options.role === 'member' && remote.role === 'member') hooks.onMember(remote.peer, isPresent)
  }

  /** Contributors have no use for contributors. */
  function isUseful(to: Remote, about: Remote): boolean {
    return to.role === 'member' || about.role === 'member'
  }

  function hints(to: Remote): readonly AddressHint[] {
    return sessions()
      .filter((one) => one.remote.peer !== to.peer && isUseful(to, one.remote))
      .map((one) => ({ address: addressOf(one), role: one.remote.role }))
  }

  function tick(): void {
    if (isLeaving) return
    clock.setTimer(clock.now() + view.tickMs, tick)
    view.tick()
    for (const session of sessions()) session.tick()
    dialer.run()
    if (clock.now() < gossipAt) return
    gossipAt = clock.now() + gossipMs
    for (const session of sessions()) session.sendPeers(hints(session.remote))
  }

  transport.onLink((link) => {
    if (link.channel === 'bulk') door.onLink(link)
    else void greet(link, false)
  })
  transport.onSeen((address) => dialer.seen(address, null))
  transport.onGone((address) => {
    const session = sessions().find((one) => addressOf(one) === address)
    if (session === undefined) dialer.forget(address)
    else session.heartbeat()
  })
  tick()

  return {
    get epoch() {
      return epoch
    },
    list: () => [...known.values()].map((one) => one.remote),
    session: (peer) => known.get(peer)?.session ?? null,
    async leave() {
      if (isLeaving) return
      isLeaving = true
      dialer.close()
      door.close()
      const links = sessions().map((session) => session.pipe.link)
      for (const session of sessions()) session.goodbye()
      await farewell(links, clock)
      for (const session of sessions()) session.close()
      known.clear()
      await transport.close()
    },
  }
}

/** Resolves when the others have closed their ends, which says that they took in the goodbye. */
function farewell(links: readonly Link[], clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    let open = links.length
    if (open === 0) {
      resolve()
      return
    }
    const cancel = clock.setTimer(clock.now() + farewellMs, resolve)
    for (const link of links) {
      link.onClose(() => {
        if (--open > 0) return
        cancel()
        resolve()
      })
    }
  })
}

function addressOf(session: Session): string {
  return session.pipe.link.remoteAddress
}

function supersededError(remote: Remote): ShoalError {
  return new ShoalError(
    'E_SUPERSEDED',
    `Cannot keep two links to one peer as one must do: ${remote.peer} has another one`,
  )
}

/** Until the hello sets its own. */
const noReader = { bytesMax: limits.helloBytesMax, framesPerS: 16, onFrame: (): void => {} }
