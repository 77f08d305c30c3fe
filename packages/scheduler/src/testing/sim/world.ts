import type { Effect } from '../../core/effects.ts'
import type { Event } from '../../core/events.ts'
import { assertInvariants } from '../../core/invariants.ts'
import type { SchedulerState } from '../../core/state.ts'
import { step } from '../../core/step.ts'
import {
  type Call,
  type ChunkStore,
  type JobId,
  type PeerId,
  type RangeSpec,
  type Runtime,
  type RuntimeOptions,
  type TaskRef,
  type TaskSpec,
  taskIdOf,
} from '../../index.ts'
import { createRuntime } from '../../runtime/runtime.ts'
import { createHistory, type History } from './checks.ts'
import { createLoop } from './clock.ts'
import { finish, runUntil, settleDown, type World } from './ending.ts'
import { describeFault, makeFaults, type SimFault } from './faults.ts'
import { createSimMembership } from './membership.ts'
import { createSimNetwork, type Endpoint } from './network.ts'
import { type SimMutation, type SimPeer, startPeer } from './peer.ts'
import type { HostProbe } from './processor.ts'
import { packRange } from './program.ts'
import { createFakeReplica, createPost, type SimReplicaFactory } from './replica.ts'
import { createRng, type SimRng } from './rng.ts'
import { makeShape, perfectLinks, type SimMode, type WorldShape } from './shape.ts'
import { createSimDisk, type SimDisk } from './store.ts'
import { createTrace, type Trace } from './trace.ts'
import { makeWorkload, type SimAction } from './workload.ts'

/** What to simulate. */
export interface SimOptions {
  /** Decides everything: the same seed on the same code gives the same history. */
  readonly seed: number
  readonly mode: SimMode
  /** Default: the real one. The core's invariants are checked after each step. */
  readonly createRuntime?: (options: RuntimeOptions) => Runtime
  /** Default: the fake replica. */
  readonly createReplica?: SimReplicaFactory
  /** Default: no planted bug. */
  readonly mutate?: SimMutation
  /** Takes the log, one aligned line per event; default: no log. */
  readonly log?: (line: string) => void
  /** Kinds of faults to leave out, to find the one that matters. */
  readonly without?: readonly string[]
}

/** Who takes part in a world, what its users do, and what goes wrong: default: made from the seed. */
export interface SimScenario {
  readonly shape: WorldShape
  readonly actions: readonly SimAction[]
  readonly faults: readonly SimFault[]
  /** Told of each body that starts. */
  readonly onStart?: (peer: number, call: Call) => void
  /** Default: values never become chunks. */
  readonly openChunks?: (endpoint: Endpoint) => ChunkStore
}

/** What came of it. */
export interface SimReport {
  readonly seed: number
  readonly mode: SimMode
  /** Broken rules, at most 20; empty when all is well. */
  readonly violations: readonly string[]
  /** Equal for equal histories. */
  readonly hash: string
  readonly stats: SimStats
}

export interface SimStats {
  readonly events: number
  readonly messages: number
  readonly faults: number
  readonly tasks: number
  readonly executions: number
  readonly takeovers: number
  readonly virtualMs: number
}

/** Runs one world from its seed to its end. Synchronous, and free of real time. */
export function runWorld(options: SimOptions): SimReport {
  const world = createWorld(options)
  const { shape, loop, history } = world
  const endsAtMs = shape.horizonMs * (options.mode === 'liveness' ? 0.6 : 1)
  runUntil(loop, endsAtMs)
  if (options.mode === 'liveness') {
    stopFaults(world)
    settleDown(world)
  }
  finish(world)
  const executions = [...history.executions.values()].reduce((sum, count) => sum + count, 0)
  return {
    seed: options.seed,
    mode: options.mode,
    violations: history.violations,
    hash: world.trace.hash(),
    stats: {
      events: loop.count,
      messages: world.net.sent,
      faults: world.faults,
      tasks: history.executions.size,
      executions,
      takeovers: history.takeovers,
      virtualMs: loop.now(),
    },
  }
}

export function createWorld(options: SimOptions, scenario: SimScenario | null = null): World {
  const rng = createRng(options.seed)
  const shape = scenario?.shape ?? makeShape(rng.fork('shape'), options.mode)
  const submitters = new Map<JobId, SimPeer>()
  const history = createHistory(
    shape.peers.length,
    () => world.loop.count,
    (job) => submitters.get(job)?.index ?? -1,
    (rule, text) => world.trace.event('#', -1, rule.length, () => `[${rule}] ${text}`),
  )
  const loop = createLoop((error, gate) => {
    history.violate('threw', `p${gate?.peer ?? -1}: ${error instanceof Error ? error.stack : String(error)}`)
  })
  const trace = createTrace(loop.now, options.log ?? null)
  const net = createSimNetwork(
    shape.peers.length,
    loop,
    rng.fork('net'),
    trace,
    makeNetProbe(history, shape),
    shape.links,
  )
  const membership = createSimMembership(
    shape.peers.length,
    loop,
    rng.fork('membership'),
    net,
    shape.killedMs,
  )
  const peers: (SimPeer | null)[] = shape.peers.map(() => null)
  const world: World = {
    without: options.without ?? [],
    goesToTheEnd: options.seed % 4 === 0,
    shape,
    loop,
    net,
    membership,
    history,
    trace,
    parts: {
      loop,
      net,
      rng: rng.fork('peers'),
      trace,
      history,
      probe: makeHostProbe(history, trace, scenario, (index) => kill(world, index)),
      post: createPost(),
      step: checkedStep,
      createRuntime: options.createRuntime ?? createRuntime,
      createReplica: options.createReplica ?? createFakeReplica,
      mutate: options.mutate ?? null,
      openChunks: scenario?.openChunks ?? null,
    },
    peers,
    disks: shape.peers.map((peer) => createSimDisk(rng.fork(`disk ${peer.id}`), shape.disks)),
    submitters,
    watched: [],
    seen: new WeakMap(),
    faults: 0,
    lastActionMs: 0,
    isOver: false,
  }
  shape.peers.forEach((peer, index) => {
    loop.at(peer.startsAtMs, null, () => start(world, index))
  })
  plan(world, scenario ?? makeScenario(world, rng))
  return world
}

/** The real core, checked after each step. */
function checkedStep(state: SchedulerState, event: Event): Effect[] {
  const effects = step(state, event)
  assertInvariants(state)
  return effects
}

function makeScenario({ shape, without }: World, rng: SimRng): SimScenario {
  return {
    shape,
    actions: makeWorkload(rng.fork('workload'), shape),
    faults: makeFaults(rng.fork('faults'), shape, new Set(without)),
  }
}

function plan(world: World, { actions, faults }: SimScenario): void {
  const { loop } = world
  for (const action of actions) {
    world.lastActionMs = Math.max(world.lastActionMs, action.atMs)
    loop.at(action.atMs, null, () => act(world, action))
  }
  for (const fault of faults) {
    loop.at(fault.atMs, null, () => inflict(world, fault))
  }
}

function makeNetProbe(history: History, shape: WorldShape): Parameters<typeof createSimNetwork>[4] {
  const idOf = (index: number): PeerId => shape.peers[index]?.id as PeerId
  return {
    sent: (from, _to, message) => history.sent(from, idOf(from), message),
    lost: () => history.peerLost(),
    delivered: (from, to, message) => history.delivered(to, idOf(to), idOf(from), message),
  }
}

function makeHostProbe(
  history: History,
  trace: Trace,
  scenario: SimScenario | null,
  killPeer: (index: number) => boolean,
): HostProbe {
  return {
    started(peer, call) {
      scenario?.onStart?.(peer, call)
      trace.event('e', peer, call.attempt, () => `${taskIdOf(call)}:${call.attempt} for ${call.owner}`)
      return history.executed(peer, call)
    },
    failures: (ref, isThrowing) => history.failures(ref, isThrowing),
    ended(peer, ended) {
      trace.event('=', peer, ended.length, () =>
        ended.map(({ callId, outcome }) => `call ${callId} ${outcome.status}`).join(', '),
      )
    },
    killed: killPeer,
    processorDied: () => history.processorDied(),
  }
}

function start(world: World, index: number): void {
  const shape = world.shape.peers[index]
  const former = world.peers[index]
  if (shape === undefined || (former && former.gate.state !== 'dead')) return
  const epoch = former ? former.endpoint.epoch + 1 : 1
  const incarnation = former ? former.incarnation + 1 : 0
  world.trace.event(
    '!',
    index,
    incarnation,
    () => `start of ${shape.role} ${shape.id} with ${shape.processors.length} processors`,
  )
  world.peers[index] = startPeer(world.parts, shape, index, incarnation, epoch, world.disks[index] as SimDisk)
}

/** A user's action on a peer: only where the peer runs, and only by the start that opened the job. */
export function act(world: World, action: SimAction): void {
  const peer = world.peers[action.peer]
  if (!peer || peer.gate.state === 'dead') return
  if (action.type === 'submit' || action.type === 'seal') {
    const submitter = world.submitters.get(action.job)
    if (submitter !== undefined && submitter !== peer) return
    if (submitter === undefined && action.type === 'seal') return
    world.submitters.set(action.job, peer)
  }
  world.loop.at(world.loop.now(), peer.gate, () => perform(world, peer, action))
}

function perform(world: World, peer: SimPeer, action: SimAction): void {
  const { history, trace } = world
  const { runtime } = peer
  trace.event('+', peer.index, action.type.length, () => describeAction(action))
  switch (action.type) {
    case 'submit':
      history.submitted(peer.index, action.job, action.specs)
      if (action.isRange) runtime.submitRange(action.job, action.job, rangeOf(action.specs))
      else runtime.submit(action.job, action.job, action.specs)
      return
    case 'seal':
      runtime.seal(action.job)
      return
    case 'cancel':
      history.cancelled(action.job, action.nos)
      runtime.cancel(action.job, action.nos, 'the user said so')
      return
    case 'watch':
      runtime.watch(action.refs)
      for (const ref of action.refs) world.watched.push({ peer, ref })
      return
  }
}

function rangeOf(specs: readonly TaskSpec[]): RangeSpec {
  const [{ no: first, operation, options }] = specs as [TaskSpec]
  return { first, operation, options, items: packRange(specs.map(({ args }) => args)) }
}

function describeAction(action: SimAction): string {
  if (action.type === 'submit')
    return `submit ${action.job}${action.isRange ? ' as a range' : ''} ${action.specs.map((spec) => `#${spec.no}${needsText(spec.needs)}`).join(' ')}`
  if (action.type === 'watch') return `watch ${action.refs.map(taskIdOf).join(' ')}`
  if (action.type === 'cancel')
    return `cancel ${action.job} ${action.nos === null ? 'all' : action.nos.join(' ')}`
  return `seal ${action.job}`
}

function needsText(needs: readonly { readonly task: TaskRef }[]): string {
  return needs.length === 0 ? '' : `(${needs.map((need) => taskIdOf(need.task)).join(',')})`
}

/** Kills a peer without a word. */
export function kill(world: World, index: number): boolean {
  const peer = world.peers[index]
  if (!peer || peer.gate.state === 'dead' || index === world.shape.immortal) return false
  world.trace.event('!', index, 1, () => `p${index} dies`)
  peer.gate.state = 'dead'
  world.disks[index]?.crash()
  world.history.died(index)
  return true
}

function leave(world: World, index: number): void {
  const peer = world.peers[index]
  if (peer?.gate.state !== 'running') return
  peer.runtime.close()
  peer.replica?.close()
  void peer.host.close()
  world.membership.leave(peer.endpoint)
  peer.gate.state = 'dead'
  world.history.died(index)
}

function inflict(world: World, fault: SimFault): void {
  if (world.isOver) return
  const { loop, net } = world
  world.faults++
  world.trace.event('!', 'peer' in fault ? fault.peer : -1, fault.type.length, () => describeFault(fault))
  switch (fault.type) {
    case 'crash':
      kill(world, fault.peer)
      return
    case 'restart':
      kill(world, fault.peer)
      loop.at(loop.now() + fault.forMs, null, () => start(world, fault.peer))
      return
    case 'leave':
      leave(world, fault.peer)
      return
    case 'pause':
      pause(world, fault.peer, fault.forMs)
      return
    case 'slow':
      slow(world, fault.peer, fault.forMs)
      return
    case 'processor-death':
      if (world.peers[fault.peer]?.gate.state === 'running')
        world.peers[fault.peer]?.host.killProcessor(fault.index)
      return
    case 'partition':
      for (const [from, to] of fault.cuts) net.cut(from, to)
      loop.at(loop.now() + fault.forMs, null, () => {
        if (!world.isOver) for (const [from, to] of fault.cuts) net.mend(from, to)
      })
      return
    case 'clog':
      for (let other = 0; other < world.peers.length; other++) {
        net.clog(fault.peer, other, loop.now() + fault.forMs)
        net.clog(other, fault.peer, loop.now() + fault.forMs)
      }
      return
  }
}

/** Stops a peer as SIGSTOP does: nothing runs, then everything arrives at once. */
function pause(world: World, index: number, forMs: number): void {
  const peer = world.peers[index]
  if (peer?.gate.state !== 'running') return
  peer.gate.state = 'paused'
  world.loop.at(world.loop.now() + forMs, null, () => wake(world, peer))
}

function wake(world: World, peer: SimPeer): void {
  if (peer.gate.state !== 'paused') return
  world.trace.event('!', peer.index, 2, () => `p${peer.index} goes on`)
  world.loop.resume(peer.gate)
}

function slow(world: World, index: number, forMs: number): void {
  const peer = world.peers[index]
  if (!peer) return
  peer.host.slowness = 10
  world.loop.at(world.loop.now() + forMs, null, () => {
    peer.host.slowness = 1
  })
}

/** From here on nothing goes wrong any more; who is dead stays dead. */
export function stopFaults(world: World): void {
  world.isOver = true
  world.trace.event('!', -1, 3, () => 'faults stop')
  world.net.conditions = perfectLinks
  world.net.healAll()
  for (const peer of world.peers) if (peer) wake(world, peer)
}
