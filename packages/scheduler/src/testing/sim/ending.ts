import { defaultConfig } from '../../core/config.ts'
import { type JobId, type TaskRef, taskIdOf } from '../../index.ts'
import type { History } from './checks.ts'
import type { SimLoop } from './clock.ts'
import { describeOutcome } from './expected.ts'
import type { SimMembership } from './membership.ts'
import type { SimNetwork } from './network.ts'
import type { PeerParts, SimPeer } from './peer.ts'
import type { WorldShape } from './shape.ts'
import type { SimDisk } from './store.ts'
import type { Trace } from './trace.ts'

/** Everything of one simulated world. */
export interface World {
  /** Kinds of faults that are left out. */
  readonly without: readonly string[]
  /** Runs on until ended jobs are forgotten. */
  readonly goesToTheEnd: boolean
  readonly shape: WorldShape
  readonly loop: SimLoop
  readonly net: SimNetwork
  readonly membership: SimMembership
  readonly history: History
  readonly trace: Trace
  readonly parts: PeerParts
  readonly peers: (SimPeer | null)[]
  readonly disks: SimDisk[]
  /** The start of the peer that opened each job: a job is not gone on with by a later one. */
  readonly submitters: Map<JobId, SimPeer>
  readonly watched: { readonly peer: SimPeer; readonly ref: TaskRef }[]
  /** Starts of peers, and tasks whose outcome they have had: an ended job is forgotten after a while. */
  readonly seen: WeakMap<SimPeer, Set<string>>
  faults: number
  /** When the users do their last. */
  lastActionMs: number
  isOver: boolean
}

/** Faults have stopped for this long and something is still not done: it never will be. */
const patienceMs = 90_000
const pollMs = 500
/** What is under way when the last task ends is over by then. */
const quietMs = 5000
/** Replicas compare with a random member every 10 to 30 s. */
const antiEntropyMs = 120_000

/** Runs all events up to a time. */
export function runUntil(loop: SimLoop, atMs: number): void {
  while (loop.nextAt() <= atMs && loop.runNext());
}

/** Runs until everything accepted has ended for everybody, or patience does. */
export function settleDown(world: World): void {
  for (const atMs of settling(world)) runUntil(world.loop, atMs)
}

/** Up to when the world has to run, again and again, for {@link settleDown}. */
export function* settling(world: World): Waits {
  const { loop, history } = world
  const deadlineMs = world.shape.horizonMs + patienceMs
  // Users go on for a while, and some peers start late.
  yield Math.max(world.shape.horizonMs, world.lastActionMs)
  let open = unsettled(world)
  while (open.length > 0 && loop.now() < deadlineMs) {
    yield pass(world, pollMs)
    open = unsettled(world)
  }
  for (const text of open.slice(0, 3)) history.violate('liveness', text)
  if (open.length === 0) {
    yield loop.now() + quietMs
    compare(world)
    yield* compareReplicas(world)
    if (world.goesToTheEnd) yield* checkForgotten(world)
  }
}

/** Points in virtual time that a check waits for, one after the other. */
export type Waits = Generator<number, void, void>

/** When that time will have passed, also when nothing happens. */
export function pass({ loop }: World, ms: number): number {
  loop.at(loop.now() + ms, null, () => {})
  return loop.now() + ms
}

function liveMembers(world: World): SimPeer[] {
  return world.peers.filter(
    (peer): peer is SimPeer => peer?.gate.state === 'running' && peer.replica !== null,
  )
}

/** What has not ended: an accepted task without an outcome at some live member, or a watcher not told. */
function unsettled(world: World): string[] {
  const open: string[] = []
  const refs = world.history.durable()
  for (const member of liveMembers(world)) {
    const seen = world.seen.get(member) ?? new Set()
    world.seen.set(member, seen)
    for (const ref of refs) {
      const key = taskIdOf(ref)
      if (seen.has(key)) continue
      if (member.runtime.outcomeOf(ref) !== null) seen.add(key)
      else open.push(`${key} has no outcome at p${member.index}, it is ${member.runtime.statusOf(ref)} there`)
    }
  }
  const durable = new Set(refs.map(taskIdOf))
  for (const { peer, ref } of world.watched) {
    if (peer.gate.state !== 'running' || !durable.has(taskIdOf(ref))) continue
    if (world.history.lastSettled(peer.index, ref) !== null) continue
    open.push(`p${peer.index} watches ${taskIdOf(ref)} and was never told`)
  }
  return open
}

/** At the end every reader has the same outcomes, and the same documents. */
function compare(world: World): void {
  const { history } = world
  const members = liveMembers(world)
  for (const ref of history.durable()) {
    const outcomes = members.map((member) => {
      const outcome = member.runtime.outcomeOf(ref)
      return outcome === null ? null : describeOutcome(outcome)
    })
    const known = [...new Set(outcomes.filter((text) => text !== null))]
    if (known.length > 1) history.violate('agree', `${taskIdOf(ref)} ends as ${known.join(' and as ')}`)
  }
  for (const { peer, ref } of world.watched) {
    if (peer.gate.state !== 'running') continue
    const told = history.lastSettled(peer.index, ref)
    const outcome = peer.runtime.outcomeOf(ref)
    if (told !== null && outcome !== null && told !== describeOutcome(outcome)) {
      history.violate(
        'agree',
        `p${peer.index} was told ${told} of ${taskIdOf(ref)} and keeps ${describeOutcome(outcome)}`,
      )
    }
  }
  checkLeftovers(world)
  checkExecutions(world)
  if (world.shape.isCalm) checkCalm(world)
}

/** Replicas end with equal contents, at the latest when each has compared with each other one again. */
function* compareReplicas(world: World): Waits {
  const { loop, history } = world
  const deadlineMs = loop.now() + antiEntropyMs
  let different = differences(world)
  while (different.length > 0 && loop.now() < deadlineMs) {
    yield pass(world, pollMs)
    different = differences(world)
  }
  for (const text of different.slice(0, 3)) history.violate('replicas', text)
}

/** Names of documents that differ between members, with the members. */
function differences(world: World): string[] {
  const documents = new Map<string, Map<string, number>>()
  for (const member of liveMembers(world)) {
    for (const [document, hash] of member.replica?.contentHashes() ?? []) {
      const hashes = documents.get(document) ?? new Map<string, number>()
      if (!hashes.has(hash)) hashes.set(hash, member.index)
      documents.set(document, hashes)
    }
  }
  return [...documents].flatMap(([document, hashes]) =>
    hashes.size < 2 ? [] : [`${document} differs between p${[...hashes.values()].join(' and p')}`],
  )
}

/** After the linger nothing of an ended job is left, in memory or in documents, and nobody talks any more. */
function* checkForgotten(world: World): Waits {
  const { history, net } = world
  yield pass(world, defaultConfig.lingerMs + antiEntropyMs)
  const sent = net.sent
  yield pass(world, quietMs)
  if (net.sent > sent) history.violate('quiet', `${net.sent - sent} messages are sent when all is over`)
  for (const peer of world.peers) {
    if (peer?.gate.state !== 'running') continue
    for (const [job, { held, owner }] of peer.runtime.state.executor.jobs) {
      // Alone in the room it waits for somebody to ask.
      if (held.size === 0 || peer.runtime.state.peers.size < 2) continue
      history.violate('forgotten', `p${peer.index} holds ${held.size} attempts of ${job} for ${owner}`)
    }
  }
  for (const member of liveMembers(world)) {
    for (const job of member.runtime.jobs()) {
      history.violate(
        'forgotten',
        `p${member.index} still has ${job.id}, which ${job.isEnded ? 'ended' : 'never ended'}`,
      )
    }
    for (const document of member.replica?.contentHashes().keys() ?? []) {
      if (document.startsWith('job:')) history.violate('forgotten', `p${member.index} still has ${document}`)
    }
  }
}

/** Owners and executing peers agree that nothing is under way, and nothing is kept for an owner that is here. */
function checkLeftovers(world: World): void {
  for (const peer of world.peers) {
    if (peer?.gate.state !== 'running') continue
    const { executor, peers } = peer.runtime.state
    for (const [job, { owner, held }] of executor.jobs) {
      // A job that only its owner knew died with it: what ran for it is kept for a while.
      const isKnown = world.peers.some(
        (other) => other?.runtime.self === owner && other.runtime.state.jobs.get(job)?.isMine,
      )
      if (held.size === 0 || !peers.has(owner) || !isKnown) continue
      const attempts = [...held].map(([attempt, { phase }]) => `${attempt} ${phase}`).join(', ')
      world.history.violate('leftovers', `p${peer.index} holds attempts of ${job} for ${owner}: ${attempts}`)
    }
    for (const [job, attempts] of executor.submitting) {
      const owner = executor.jobs.get(job)?.owner
      if (attempts.size > 0 && owner !== undefined && peers.has(owner))
        world.history.violate('leftovers', `p${peer.index} still submits children to ${job}`)
    }
  }
}

/** A task runs once, and once more for each throw that is retried and each fault that may have hit it. */
function checkExecutions(world: World): void {
  const { history } = world
  // An assignment that arrives again after its result was committed is not known any more.
  if (world.shape.links.duplicateRate > 0) return
  for (const [key, count] of history.executions) {
    const spec = history.spec(key)
    const allowed =
      1 + (spec?.options.retryMax ?? 0) + history.deaths + 2 * (history.takeovers + world.faults)
    if (count > allowed) {
      history.violate(
        'executions',
        `${key} ran ${count} times: ${history.deaths} deaths, ${history.takeovers} takeovers`,
      )
    }
  }
}

/** Without faults nothing runs twice and nobody takes over. */
function checkCalm(world: World): void {
  const { history } = world
  if (history.takeovers > 0) history.violate('calm', `${history.takeovers} takeovers without a fault`)
  for (const [key, count] of history.executions) {
    const spec = history.spec(key)
    if (spec?.args === undefined || history.deaths > 0) continue
    const allowed = 1 + (spec.options.timeoutMs > 0 ? 1 : 0) + spec.options.retryMax
    if (count > allowed) history.violate('calm', `${key} ran ${count} times without a fault`)
  }
}

/** Closes every runtime that is left: none may leave a timer behind. */
export function finish(world: World): void {
  for (const peer of world.peers) {
    if (peer?.gate.state !== 'running') continue
    peer.runtime.close()
    peer.replica?.close()
    void peer.host.close()
    if (peer.gate.timers > 0) {
      world.history.violate('timers', `p${peer.index} leaves ${peer.gate.timers} timers behind`)
    }
  }
}
