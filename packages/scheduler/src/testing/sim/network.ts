import type {
  Message,
  Network,
  PeerId,
  PeerRole,
  ReplicaNetwork,
  ServiceClaim,
  ServiceMessage,
  ViewEvent,
} from '../../index.ts'
import type { Gate, SimLoop } from './clock.ts'
import { frozenCopy } from './copy.ts'
import { hashText, type SimRng } from './rng.ts'
import type { Trace } from './trace.ts'

/** How the links of a world behave. Times in milliseconds, rates from 0 to 1. */
export interface LinkConditions {
  readonly delayMinMs: number
  /** Mean of what is added to the least delay. */
  readonly delayMeanMs: number
  /** Share of messages that take ten times as long, and so are overtaken. */
  readonly tailRate: number
  readonly dropRate: number
  readonly duplicateRate: number
  /** The same for the replicas' messages, which are ordered and reliable otherwise. */
  readonly replicaDropRate: number
}

/** One start of one peer, as the network knows it. */
export interface Endpoint {
  readonly index: number
  readonly id: PeerId
  readonly role: PeerRole
  readonly gate: Gate
  epoch: number
  /** It said goodbye: nothing goes in or out any more. */
  hasLeft: boolean
  readonly sinks: Sinks
}

interface Sinks {
  readonly message: Set<(from: PeerId, message: Message) => void>
  readonly view: Set<(event: ViewEvent) => void>
  readonly replica: Set<(from: PeerId, message: Uint8Array) => void>
  readonly member: Set<(peer: PeerId, isPresent: boolean) => void>
}

/** What two starts of two peers have between them; `session` grows with each handshake. */
export interface Session {
  readonly number: number
  readonly ends: readonly [Endpoint, Endpoint]
  /** Whether each end has the other in its view. */
  readonly isInView: [boolean, boolean]
  /** Each end has given the session up. */
  readonly isClosed: [boolean, boolean]
  readonly heardAt: [number, number]
  readonly isSuspected: [boolean, boolean]
  /** Replica messages on their way to each end keep their order: sent, next to arrive, and those that wait. */
  readonly replicaSent: [number, number]
  readonly replicaNext: [number, number]
  readonly parked: readonly [Map<number, Uint8Array>, Map<number, Uint8Array>]
  /** Held back by a cut. */
  readonly held: readonly [(() => void)[], (() => void)[]]
}

/** What the checks want to know of messages. */
export interface NetworkProbe {
  sent(from: number, to: number, message: Message): void
  delivered(from: number, to: number, message: Message): void
  /** A peer lost another from its view, or got a later start of it. */
  lost(observer: number): void
}

/** The wires between all peers of a world. */
export interface SimNetwork {
  conditions: LinkConditions
  readonly sent: number
  attach(index: number, id: PeerId, role: PeerRole, gate: Gate, epoch: number): Endpoint
  /** The session between two peers' present starts, if any. */
  session(left: number, right: number): Session | null
  open(left: Endpoint, right: Endpoint): Session
  endpoint(index: number): Endpoint | null
  /** Cuts one direction, or mends one cut of it. */
  cut(from: number, to: number): void
  mend(from: number, to: number): void
  isCut(from: number, to: number): boolean
  /** Holds back everything from one peer to another until a time. */
  clog(from: number, to: number, untilMs: number): void
  isClogged(from: number, to: number): boolean
  /** Ends every cut and clog. */
  healAll(): void
  delayMs(from: number, to: number): number
  /** Tells one end about its view. */
  tell(endpoint: Endpoint, event: ViewEvent): void
  port(endpoint: Endpoint): Network
  replicaPort(endpoint: Endpoint): ReplicaNetwork
}

interface Wire {
  cuts: number
  clogUntilMs: number
}

export function createSimNetwork(
  size: number,
  loop: SimLoop,
  rng: SimRng,
  trace: Trace,
  probe: NetworkProbe,
  conditions: LinkConditions,
): SimNetwork {
  const endpoints: (Endpoint | null)[] = Array.from({ length: size }, () => null)
  const sessions: (Session | null)[] = Array.from({ length: size * size }, () => null)
  const wires: Wire[] = Array.from({ length: size * size }, () => ({ cuts: 0, clogUntilMs: 0 }))
  let sessionCount = 0
  let sent = 0
  const wire = (from: number, to: number): Wire => wires[from * size + to] as Wire
  const pair = (left: number, right: number): number => Math.min(left, right) * size + Math.max(left, right)
  const flush = (from: number, to: number): void => {
    const session = sessions[pair(from, to)]
    if (session === undefined || session === null) return
    const end = session.ends[0].index === to ? 0 : 1
    for (const deliver of session.held[end].splice(0)) deliver()
  }
  const net: SimNetwork = {
    conditions,
    get sent() {
      return sent
    },
    attach(index, id, role, gate, epoch) {
      const sinks: Sinks = { message: new Set(), view: new Set(), replica: new Set(), member: new Set() }
      const endpoint: Endpoint = { index, id, role, gate, epoch, hasLeft: false, sinks }
      endpoints[index] = endpoint
      return endpoint
    },
    session: (left, right) => sessions[pair(left, right)] ?? null,
    open(left, right) {
      const ends: [Endpoint, Endpoint] = left.index < right.index ? [left, right] : [right, left]
      const session: Session = {
        number: ++sessionCount,
        ends,
        isInView: [false, false],
        isClosed: [false, false],
        heardAt: [loop.now(), loop.now()],
        isSuspected: [false, false],
        replicaSent: [0, 0],
        replicaNext: [0, 0],
        parked: [new Map(), new Map()],
        held: [[], []],
      }
      sessions[pair(left.index, right.index)] = session
      return session
    },
    endpoint: (index) => endpoints[index] ?? null,
    cut(from, to) {
      wire(from, to).cuts++
    },
    mend(from, to) {
      const mended = wire(from, to)
      mended.cuts = Math.max(0, mended.cuts - 1)
      if (mended.cuts === 0) flush(from, to)
    },
    isCut: (from, to) => wire(from, to).cuts > 0,
    clog(from, to, untilMs) {
      wire(from, to).clogUntilMs = Math.max(wire(from, to).clogUntilMs, untilMs)
    },
    isClogged: (from, to) => wire(from, to).clogUntilMs > loop.now(),
    healAll() {
      for (const each of wires) {
        each.cuts = 0
        each.clogUntilMs = 0
      }
      for (let from = 0; from < size; from++)
        for (let to = 0; to < size; to++) if (from !== to) flush(from, to)
    },
    delayMs(from, to) {
      const { delayMinMs, delayMeanMs, tailRate } = net.conditions
      const extra = -Math.log(1 - rng.next()) * delayMeanMs
      const delayMs = delayMinMs + (rng.chance(tailRate) ? extra * 10 : extra)
      return Math.max(delayMs, wire(from, to).clogUntilMs - loop.now())
    },
    tell(endpoint, event) {
      trace.event('v', endpoint.index, hashText(event.peer + event.type), () => describeView(event))
      if (event.type === 'peer-left' || (event.type === 'peer-joined' && event.epoch > 1)) {
        probe.lost(endpoint.index)
      }
      for (const listener of [...endpoint.sinks.view]) listener(event)
      if (event.type !== 'peer-joined' && event.type !== 'peer-left') return
      const isPresent = event.type === 'peer-joined'
      for (const listener of [...endpoint.sinks.member]) listener(event.peer, isPresent)
    },
    port: (endpoint) => ({
      send: (to, message) => {
        const session = sessionTo(endpoint, to)
        if (session !== null) sendMessage(session, endpoint, frozenCopy(message))
      },
      onMessage: (listener) => subscribe(endpoint.sinks.message, listener),
      onView: (listener) => subscribe(endpoint.sinks.view, listener),
    }),
    replicaPort: (endpoint) => ({
      members: () =>
        peersOf(endpoint)
          .filter((other) => other.role === 'member')
          .map((other) => other.id),
      send: (to, message) => {
        const session = sessionTo(endpoint, to)
        if (session !== null) sendReplica(session, endpoint, message)
      },
      onMessage: (listener) => subscribe(endpoint.sinks.replica, listener),
      onMember: (listener) =>
        subscribe(endpoint.sinks.member, (peer, isPresent) => {
          if (roleOf(peer) === 'member') listener(peer, isPresent)
        }),
    }),
  }
  const roleOf = (id: PeerId): PeerRole | undefined => endpoints.find((other) => other?.id === id)?.role
  const peersOf = (endpoint: Endpoint): Endpoint[] => {
    const found: Endpoint[] = []
    for (let other = 0; other < size; other++) {
      const session = other === endpoint.index ? null : sessions[pair(endpoint.index, other)]
      const end = session?.ends.indexOf(endpoint) ?? -1
      if (session && end >= 0 && session.isInView[end]) found.push(session.ends[1 - end] as Endpoint)
    }
    return found
  }
  const sessionTo = (endpoint: Endpoint, to: PeerId): Session | null => {
    if (endpoint.hasLeft || endpoint.gate.state !== 'running') return null
    for (let other = 0; other < size; other++) {
      const session = other === endpoint.index ? null : sessions[pair(endpoint.index, other)]
      const end = session?.ends.indexOf(endpoint) ?? -1
      if (session && end >= 0 && session.isInView[end] && session.ends[1 - end]?.id === to) return session
    }
    return null
  }
  const sendMessage = (session: Session, from: Endpoint, message: Message): void => {
    const to = session.ends[0] === from ? session.ends[1] : session.ends[0]
    sent++
    trace.event('>', from.index, sizeOf(message), () => `${describeMessage(message)} to p${to.index}`)
    probe.sent(from.index, to.index, message)
    const copies = rng.chance(net.conditions.duplicateRate) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (net.isCut(from.index, to.index) || rng.chance(net.conditions.dropRate)) {
        trace.event('x', from.index, to.index, () => `${message.type} to p${to.index}`)
        continue
      }
      const deliver = (): void => {
        const end = session.ends[0] === to ? 0 : 1
        if (sessions[pair(from.index, to.index)] !== session || session.isClosed[end]) return
        if (!session.isInView[end]) {
          // The other end finished the handshake first: wait for this one.
          loop.at(loop.now() + 5, to.gate, deliver)
          return
        }
        trace.event('<', to.index, sizeOf(message), () => `${describeMessage(message)} from p${from.index}`)
        probe.delivered(from.index, to.index, message)
        for (const listener of [...to.sinks.message]) listener(from.id, message)
      }
      loop.at(loop.now() + net.delayMs(from.index, to.index), to.gate, deliver)
    }
  }
  const sendReplica = (session: Session, from: Endpoint, message: Uint8Array): void => {
    const end = session.ends[0] === from ? 1 : 0
    const to = session.ends[end]
    if (rng.chance(net.conditions.replicaDropRate)) return
    const number = session.replicaSent[end]++
    const arrive = (): void => {
      if (sessions[pair(from.index, to.index)] !== session || session.isClosed[end]) return
      if (net.isCut(from.index, to.index)) {
        session.held[end].push(start)
        return
      }
      if (!session.isInView[end]) {
        loop.at(loop.now() + 5, to.gate, arrive)
        return
      }
      const parked = session.parked[end].set(number, message)
      for (let next = session.replicaNext[end]; parked.has(next); next = ++session.replicaNext[end]) {
        const bytes = parked.get(next) as Uint8Array
        parked.delete(next)
        // Each in a turn of its own, as a socket gives them.
        loop.at(loop.now(), to.gate, () => {
          if (!session.isInView[end]) return
          for (const listener of [...to.sinks.replica]) listener(from.id, bytes)
        })
      }
    }
    const start = (): void => {
      loop.at(loop.now() + net.delayMs(from.index, to.index), to.gate, arrive)
    }
    start()
  }
  return net
}

function subscribe<T>(sink: Set<T>, listener: T): () => void {
  sink.add(listener)
  return () => {
    sink.delete(listener)
  }
}

function sizeOf(message: Message): number {
  const type = message.type.length * 131 + message.type.charCodeAt(0)
  if (message.type === 'assign')
    return type + message.tasks.length * 7 + (message.tasks[0]?.attempt ?? 0) * 977
  if (message.type === 'results') {
    return type + message.results.length * 7 + (message.results[0]?.attempt ?? 0) * 977
  }
  if (message.type === 'service') return type + describeService(message.body).length * 977
  return type
}

function describeView(event: ViewEvent): string {
  const detail = event.type === 'peer-joined' ? ` epoch ${event.epoch} ${event.role}` : ''
  return `${event.type} ${event.peer}${detail}${event.type === 'peer-left' ? ` ${event.cause}` : ''}`
}

/** One line for a message, with the numbers that matter. */
export function describeMessage(message: Message): string {
  const head = `${message.type.padEnd(9)} ${'job' in message ? message.job : ''}`
  const epoch = 'epoch' in message ? `@${message.epoch}` : ''
  return `${head}${epoch} ${detailOf(message)}`
}

function detailOf(message: Message): string {
  switch (message.type) {
    case 'assign':
      return message.tasks.map((task) => `#${task.no}:${task.attempt}`).join(' ')
    case 'revoke':
    case 'abort':
    case 'commit':
    case 'audit':
    case 'revoked':
      return message.attempts.map((attempt) => `#${attempt.no}:${attempt.attempt}`).join(' ')
    case 'results':
      return message.results
        .map((result) => `#${result.no}:${result.attempt}=${result.outcome.status}`)
        .join(' ')
    case 'holdings':
      return [
        ...message.running.map((run) => `#${run.no}:${run.attempt}`),
        ...message.results.map((result) => `#${result.no}:${result.attempt}=${result.outcome.status}`),
        ...message.unknown.map((attempt) => `?${attempt.no}:${attempt.attempt}`),
      ].join(' ')
    case 'submit':
      return `parent #${message.parent.no}:${message.parent.attempt} ${message.requests.length} children`
    case 'submitted':
      return message.accepted.map((accepted) => `${accepted.seq}->#${accepted.no}`).join(' ')
    case 'watch':
      return message.nos.map((no) => `#${no}`).join(' ')
    case 'outcomes':
      return message.outcomes.map((record) => `#${record.no}=${record.outcome.status}`).join(' ')
    case 'cancel':
      return message.nos === null ? 'all' : message.nos.map((no) => `#${no}`).join(' ')
    case 'service':
      return `${message.service} ${describeService(message.body)}`
    default:
      return ''
  }
}

function describeService(body: ServiceMessage): string {
  switch (body.type) {
    case 'call':
      return `call ${body.calls.map(({ no }) => no).join(' ')} open ${body.open}`
    case 'replies':
      return `replies ${body.replies.map(({ no }) => no).join(' ')}`
    case 'install':
    case 'append': {
      const from = body.snapshot === null ? '' : ` snapshot ${body.snapshot.seq}`
      return `${body.type} #${body.copy}${from} entries ${body.entries.map(({ seq }) => seq).join(' ')}`
    }
    case 'appended':
      return `appended #${body.copy} ${body.seq}`
    case 'prepare':
      return `prepare ${describeClaim(body.claim)} ballot ${body.ballot.round}`
    case 'accept':
      return `accept ${describeClaim(body.next)} ballot ${body.ballot.round}`
    case 'claimed':
      return `claimed ${describeClaim(body.claim)}`
    case 'hand-over':
      return `hand-over ${describeClaim(body.claim)}`
    default:
      return body.type
  }
}

/** A claim in a word: epoch, host, follower, voters. */
function describeClaim({ epoch, host, follower, voters, end }: ServiceClaim): string {
  const votes = voters.map((voter) => `${voter.peer}@${voter.epoch}`).join(',')
  return `${epoch}:${host}>${follower ?? '-'}(${votes})${end ?? ''}`
}
