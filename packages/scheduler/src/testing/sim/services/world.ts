import type { Effect } from '../../../core/effects.ts'
import type { Event } from '../../../core/events.ts'
import { assertInvariants } from '../../../core/invariants.ts'
import type { SchedulerState } from '../../../core/state.ts'
import { step } from '../../../core/step.ts'
import type {
  OperationHash,
  PeerId,
  ProcessorHost,
  RuntimeOptions,
  ServiceAnswer,
  ServiceSpec,
} from '../../../index.ts'
import { createRuntime } from '../../../runtime/runtime.ts'
import { createGate, createLoop, createPeerClock } from '../clock.ts'
import { createSimMembership } from '../membership.ts'
import { createSimNetwork } from '../network.ts'
import type { SimMutation } from '../peer.ts'
import { createFakeReplica, createPost, type SimReplicaFactory } from '../replica.ts'
import { createRng, mix } from '../rng.ts'
import { perfectLinks } from '../shape.ts'
import { createSimDisk, type SimDisk } from '../store.ts'
import { createTrace } from '../trace.ts'
import { checkHistory, type SeenCall } from './history.ts'
import { createSimServiceHost, packNumbers, unpackNumbers } from './host.ts'
import { makePlan, type ServiceFault, type ServiceWorldKind } from './plan.ts'
import { isWell, livePeers, openCalls, type Peer, service, type World } from './room.ts'

export interface ServiceSimOptions {
  /** Decides everything. */
  readonly seed: number
  readonly kind: ServiceWorldKind
  /** Default: no planted bug. */
  readonly mutate?: SimMutation
  /** Default: the fake. */
  readonly createReplica?: SimReplicaFactory
  /** Takes the log; default: none. */
  readonly log?: (line: string) => void
}

export interface ServiceSimReport {
  readonly violations: readonly string[]
  /** Equal for equal histories. */
  readonly hash: string
  readonly stats: {
    readonly calls: number
    readonly answered: number
    readonly faults: number
    readonly moves: number
    readonly lost: number
    readonly virtualMs: number
  }
}

/** Faults have stopped this long and something is still not answered: it never will be. */
const patienceMs = 90_000
/** No seed may run for ever. */
const eventsMax = 400_000

/** Runs a room with one service from its seed to its end. */
export function runServiceWorld(options: ServiceSimOptions): ServiceSimReport {
  const world = createWorld(options)
  const { plan, loop, calls, violations } = world
  runUntil(world, plan.horizonMs)
  heal(world)
  runUntil(world, plan.horizonMs + 10_000)
  for (let waited = 0; waited < patienceMs && openCalls(world).length > 0; waited += 500) {
    runUntil(world, loop.now() + 500)
  }
  violations.push(...checkHistory(calls))
  for (const { token, caller } of openCalls(world).slice(0, 3))
    violations.push(`[answer] ${caller}: ${token} has none`)
  checkEnd(world)
  const answered = calls.filter((call) => call.place !== null).length
  const lost = calls.filter((call) => call.code === 'E_SERVICE_LOST').length
  return {
    violations: violations.slice(0, 10),
    hash: world.trace.hash(),
    stats: {
      calls: calls.length,
      answered,
      faults: world.faults,
      moves: world.moves,
      lost,
      virtualMs: loop.now(),
    },
  }
}

function createWorld(options: ServiceSimOptions): World {
  const rng = createRng(mix(options.seed, options.kind.length))
  const plan = makePlan(rng.fork('plan'), options.kind)
  const violations: string[] = []
  const loop = createLoop((error) => {
    violations.push(`[threw] ${error instanceof Error ? error.stack : String(error)}`)
  })
  const trace = createTrace(loop.now, options.log ?? null)
  const nothing = (): void => undefined
  const probe = { sent: nothing, lost: nothing, delivered: nothing }
  const net = createSimNetwork(plan.members, loop, rng.fork('net'), trace, probe, plan.links)
  const faultless = { failRate: 0, tornMax: 0, lossRate: 0.5 }
  const world: World = {
    plan,
    loop,
    net,
    membership: createSimMembership(plan.members, loop, rng.fork('membership'), net),
    trace,
    rng: rng.fork('world'),
    post: createPost(),
    mutate: options.mutate ?? null,
    createReplica: options.createReplica ?? createFakeReplica,
    peers: Array.from({ length: plan.members }, () => null),
    disks: Array.from({ length: plan.members }, (_, index) =>
      createSimDisk(rng.fork(`disk ${index}`), faultless),
    ),
    calls: [],
    violations,
    nextToken: 1,
    faults: 0,
    moves: 0,
    isOver: false,
  }
  for (let index = 0; index < plan.members; index++)
    loop.at(rng.between(0, 300), null, () => start(world, index))
  loop.at(500, null, () => create(world))
  for (const { atMs, fault } of plan.faults) loop.at(atMs, null, () => inflict(world, fault))
  return world
}

function start(world: World, index: number): void {
  const former = world.peers[index]
  if (former && former.gate.state !== 'dead') return
  const { loop, net, trace, rng } = world
  const incarnation = former ? former.incarnation + 1 : 0
  const id = `p${index}` as PeerId
  const epoch = former ? former.endpoint.epoch + 1 : 1
  trace.event('!', index, incarnation, () => `start of ${id}`)
  const gate = createGate(index)
  const clock = createPeerClock(loop, gate, index * 1000 + incarnation * 100_000, 1)
  const endpoint = net.attach(index, id, 'member', gate, epoch)
  const forked = rng.fork(`${id}@${incarnation}`)
  const host = createSimServiceHost(loop, gate, forked.fork('host'))
  const replica = world.createReplica({
    self: id,
    epoch,
    clientId: mix(mix(index, incarnation), Math.floor(forked.fork('client').next() * 2 ** 32)) >>> 1,
    network: net.replicaPort(endpoint),
    clock,
    rng: forked.fork('replica'),
    store: world.disks[index] as SimDisk,
    post: world.post,
  })
  const given: RuntimeOptions = {
    self: id,
    epoch,
    role: 'member',
    name: id,
    clock,
    host: idle,
    serviceHost: host,
    network: net.port(endpoint),
    replica,
    step: checkedStep,
    onBug: (error) =>
      world.violations.push(`[bug] ${id}: ${error instanceof Error ? error.stack : String(error)}`),
  }
  const runtime = createRuntime(
    world.mutate === null ? given : world.mutate(given, index, forked.fork('mutation')),
  )
  runtime.services.onNotice((notice) => {
    trace.event('s', index, notice.type.length, () => JSON.stringify(notice))
    if (notice.type === 'moved') world.moves++
  })
  const peer: Peer = { index, incarnation, gate, endpoint, runtime, host, replica, isLeaving: false }
  world.peers[index] = peer
  loop.at(loop.now() + 400, gate, () => callOn(world, peer))
}

/** A peer without processors: it only hosts services. */
const idle: ProcessorHost = {
  processors: [],
  execute: () => undefined,
  abort: () => undefined,
  onEnded: () => () => undefined,
  onProcessors: () => () => undefined,
  onBody: () => () => undefined,
  childrenAccepted: () => undefined,
  taskSettled: () => undefined,
  close: () => Promise.resolve(),
}

function checkedStep(state: SchedulerState, event: Event): Effect[] {
  const effects = step(state, event)
  assertInvariants(state)
  return effects
}

function create(world: World): void {
  const { plan } = world
  const creator = livePeers(world)[0]
  if (creator === undefined) return
  const spec: ServiceSpec = {
    id: service,
    name: 'list',
    operation: `${'5'.repeat(64)}#List` as OperationHash,
    args: packNumbers([]),
    durability: plan.durability,
    consistency: plan.consistency,
    every: plan.every,
  }
  creator.runtime.services.create(spec, ({ status }) => {
    world.trace.event('+', creator.index, status.length, () => `created: ${status}`)
  })
}

/** A peer's user makes calls now and then, some at a time. */
function callOn(world: World, peer: Peer): void {
  const { loop, plan, rng } = world
  if (world.isOver || peer.isLeaving) return
  if (peer.runtime.services.view(service) !== null) {
    for (let count = 1 + rng.int(plan.burst); count > 0; count--) call(world, peer)
  }
  loop.at(loop.now() - Math.log(1 - rng.next()) * plan.callEveryMs, peer.gate, () => callOn(world, peer))
}

function call(world: World, peer: Peer): void {
  const { loop, trace } = world
  const token = world.nextToken++
  const caller = `p${peer.index}@${peer.incarnation}`
  const seen = {
    service,
    caller,
    token,
    askedAt: loop.now(),
    answeredAt: null,
    place: null,
    before: null,
    code: null,
    peer,
  }
  const entry: SeenCall = seen
  world.calls.push(entry as World['calls'][number])
  trace.event('+', peer.index, token, () => `call ${token}`)
  const method = token % 50 === 0 ? 'refuse' : 'append'
  const args = packNumbers([token])
  peer.runtime.services.call(service, { method, args, via: [] }, (outcome) => {
    if (entry.answeredAt !== null) world.violations.push(`[once] ${caller}: ${token} was answered again`)
    entry.answeredAt = loop.now()
    take(entry, outcome)
    trace.event(
      's',
      peer.index,
      token,
      () => `${token} is ${entry.code ?? `at ${entry.place} after ${entry.before}`}`,
    )
  })
}

function take(entry: SeenCall, outcome: ServiceAnswer['outcome']): void {
  if (outcome.status === 'failed') entry.code = outcome.error.code
  if (outcome.status !== 'done') return
  const [place = 0, before = 0] = unpackNumbers(outcome.value)
  entry.place = place
  entry.before = before
}

function inflict(world: World, fault: ServiceFault): void {
  const { loop, plan, rng } = world
  if (world.isOver) return
  if (plan.kind === 'gentle' && !isWell(world)) {
    loop.at(loop.now() + 100, null, () => inflict(world, fault))
    return
  }
  const live = livePeers(world)
  const hosts = live.filter((peer) => peer.runtime.services.view(service)?.isHostedHere)
  // The host is hit most often.
  const peer = hosts.length > 0 && rng.chance(0.6) ? rng.pick(hosts) : live[rng.int(Math.max(1, live.length))]
  if (peer === undefined || (live.length < 2 && fault.type !== 'partition')) return
  world.faults++
  world.trace.event('!', peer.index, fault.type.length, () => JSON.stringify(fault))
  strike(world, peer, fault)
}

function strike(world: World, peer: Peer, fault: ServiceFault): void {
  const { loop, net, rng, plan } = world
  switch (fault.type) {
    case 'crash':
      kill(world, peer)
      return
    case 'restart':
      kill(world, peer)
      loop.at(loop.now() + fault.forMs, null, () => start(world, peer.index))
      return
    case 'leave':
      leave(world, peer)
      return
    case 'worker':
      peer.host.killWorker(rng.int(4))
      return
    case 'migrate': {
      const target = rng.pick(livePeers(world))
      const to = target.runtime.self
      peer.runtime.services.order(service, { type: 'migrate', to }, ({ status }) => {
        world.trace.event('s', peer.index, status.length, () => `migrated: ${status}`)
        if (fault.isFatal && status === 'ok' && !world.isOver) kill(world, target)
      })
      return
    }
    case 'pause':
      peer.gate.state = 'paused'
      loop.at(loop.now() + fault.forMs, null, () => {
        if (peer.gate.state === 'paused') loop.resume(peer.gate)
      })
      return
    case 'clog':
      for (let other = 0; other < plan.members; other++) {
        net.clog(peer.index, other, loop.now() + fault.forMs)
        net.clog(other, peer.index, loop.now() + fault.forMs)
      }
      return
    case 'partition':
      cut(world, peer, fault)
  }
}

/** Cuts the room in two, in both directions or in one; over a bridge, which is not this peer, both sides reach one. */
function cut(
  { loop, net, plan, rng }: World,
  peer: Peer,
  { forMs, kind }: Extract<ServiceFault, { type: 'partition' }>,
): void {
  const all = rng.shuffled(Array.from({ length: plan.members }, (_, index) => index))
  const others = all.filter((index) => index !== peer.index)
  const bridge = kind === 'bridge' ? others.pop() : undefined
  const left = [peer.index, ...others.slice(0, rng.int(Math.max(1, others.length)))]
  const right = others.filter((index) => !left.includes(index) && index !== bridge)
  for (const from of left) {
    for (const to of right) {
      net.cut(from, to)
      if (kind !== 'one-way') net.cut(to, from)
      loop.at(loop.now() + forMs, null, () => {
        net.mend(from, to)
        if (kind !== 'one-way') net.mend(to, from)
      })
    }
  }
}

function kill(world: World, peer: Peer): void {
  peer.gate.state = 'dead'
  world.disks[peer.index]?.crash()
}

/** Hands over, then goes; at the latest after a second. */
function leave(world: World, peer: Peer): void {
  const { loop } = world
  peer.isLeaving = true
  const go = (): void => {
    if (peer.gate.state !== 'running') return
    peer.runtime.close()
    peer.replica.close()
    world.membership.leave(peer.endpoint)
    peer.gate.state = 'dead'
  }
  peer.runtime.services.leave(() => loop.defer(peer.gate, go))
  loop.at(loop.now() + 1000, peer.gate, go)
}

function heal(world: World): void {
  world.isOver = true
  world.trace.event('!', -1, 1, () => 'faults stop')
  world.net.conditions = perfectLinks
  world.net.healAll()
  for (const peer of world.peers) if (peer?.gate.state === 'paused') world.loop.resume(peer.gate)
}

function runUntil(world: World, atMs: number): void {
  const { loop } = world
  while (loop.nextAt() <= atMs && loop.runNext()) {
    if (loop.count < eventsMax) continue
    world.violations.push(`[endless] ${eventsMax} events, and no end`)
    return
  }
}

/** In a gentle world nothing is lost; and whoever is host at the end has all that was answered, once. */
function checkEnd(world: World): void {
  const { plan, violations, calls } = world
  const live = livePeers(world)
  const views = live.map((peer) => peer.runtime.services.view(service))
  const claims = new Set(views.map((view) => (view === null ? 'none' : `${view.host}@${view.epoch}`)))
  if (claims.size > 1) violations.push(`[agree] the peers see ${[...claims].join(' and ')}`)
  if (plan.kind !== 'gentle') return
  if (live.length > 0 && views[0] === null) violations.push('[alive] the service is gone')
  const wrong = calls.filter(
    ({ code, token }) => code !== null && !(code === 'E_REFUSED' && token % 50 === 0),
  )
  for (const { caller, token, code } of wrong.filter((call) => call.code !== 'E_SERVICE').slice(0, 3)) {
    violations.push(`[fails] ${caller}: ${token} failed with ${code}`)
  }
}
