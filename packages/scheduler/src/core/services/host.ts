import { errorRecord } from '../../model/errors.ts'
import type { PeerId } from '../../model/ids.ts'
import type {
  CallerId,
  CallOutcome,
  JournalEntry,
  ServiceMessageOf,
  ServiceReply,
  ServiceRun,
  ServiceSnapshot,
  ServiceSpec,
} from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { Deque } from '../deque.ts'
import type { SchedulerState } from '../state.ts'
import { append } from './copies.ts'
import { armTick, say, tellClaim, touch } from './say.ts'
import {
  type Copy,
  type Hosted,
  type PendingReply,
  peerOfCaller,
  type ServiceState,
  type Session,
} from './state.ts'

/** Calls behind the last snapshot before another one is made where nobody keeps a copy. */
const loneEvery = 64
/** Callers that are remembered; beyond, the one that was silent longest is forgotten. */
const sessionsMax = 4096
/** Replies in one message. */
export const messageMax = 512
/** Calls between two snapshots at first, and at most; replies should not wait for one longer than this, in ms. */
const windowStart = 16
const windowMax = 4096
const windowMs = 100

const empty: ServiceSnapshot = Object.freeze({ seq: 0, state: null, callers: [] })

/** Makes an instance, from a copy where there is one. It runs nothing before the claim says that this peer is host. */
export function createHosted(
  ctx: StepContext,
  service: ServiceState,
  spec: ServiceSpec,
  copy: Copy | null,
): Hosted {
  const snapshot = copy?.snapshot ?? empty
  const entries = copy === null ? [] : [...copy.entries]
  const hosted: Hosted = {
    spec,
    instance: 0,
    isActing: false,
    isOpen: false,
    isDoubted: false,
    frozenUntil: null,
    handedOver: null,
    turnedAway: new Set(),
    migration: null,
    seq: copy?.seq ?? 0,
    queue: entries,
    running: new Deque(),
    ran: snapshot.seq,
    released: snapshot.seq - 1,
    inherited: copy?.seq ?? 0,
    sessions: new Map(),
    snapshot,
    entries: [...entries],
    outbox: [],
    kept: new Map(),
    proposed: new Set(),
    nextCopy: 1,
    snapshotAt: null,
    snapshotAskedAt: 0,
    window: windowStart,
    deaths: 0,
    reached: 0,
    quietSince: ctx.state.now,
    callsRun: 0,
  }
  for (const { caller, done, replies } of snapshot.callers) {
    const kept = replies.map((reply) => ({ seq: snapshot.seq, reply }))
    hosted.sessions.set(caller, { next: done + 1, done, waiting: new Map(), replies: kept })
    for (const reply of replies) hosted.outbox.push(pending(ctx, snapshot.seq, caller, reply))
  }
  for (const { caller, no } of entries) sessionOf(hosted, caller).next = no + 1
  service.hosted = hosted
  openInstance(ctx, service, hosted)
  return hosted
}

export function openInstance(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { services } = ctx.state
  hosted.instance = services.nextInstance++
  hosted.isOpen = false
  services.byInstance.set(hosted.instance, service)
  const { instance, spec, snapshot } = hosted
  ctx.emit({ type: 'open-service', instance, spec, state: snapshot.state })
}

export function closeHosted(ctx: StepContext, service: ServiceState): void {
  const { hosted } = service
  if (hosted === null) return
  service.hosted = null
  ctx.state.services.byInstance.delete(hosted.instance)
  ctx.emit({ type: 'close-service', instance: hosted.instance })
  touch(ctx, service)
}

function sessionOf({ sessions }: Hosted, caller: CallerId): Session {
  const known = sessions.get(caller)
  if (known !== undefined) return known
  for (const oldest of sessions.keys()) {
    if (sessions.size < sessionsMax) break
    sessions.delete(oldest)
  }
  const session: Session = { next: 1, done: 0, waiting: new Map(), replies: [] }
  sessions.set(caller, session)
  return session
}

/** A caller's calls: each is taken once, in the order of its numbers. */
export function onCall(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { caller, open, calls }: ServiceMessageOf<'call'>,
): void {
  const { hosted } = service
  if (hosted?.isActing !== true) {
    if (service.claim?.host === ctx.state.self && service.ended === null)
      say(ctx, from, service, { type: 'unknown' })
    else tellClaim(ctx, from, service)
    return
  }
  if (peerOfCaller(caller) !== from) return
  if (hosted.frozenUntil !== null) {
    hosted.turnedAway.add(from)
    return
  }
  const session = sessionOf(hosted, caller)
  if (session.replies.some(({ reply }) => reply.no < open)) {
    session.replies = session.replies.filter(({ reply }) => reply.no >= open)
  }
  session.next = Math.max(session.next, open)
  const again: ServiceReply[] = []
  for (const call of calls) {
    if (call.no >= session.next) session.waiting.set(call.no, call)
    else {
      const found = session.replies.find(({ reply }) => reply.no === call.no)
      if (found !== undefined && found.seq <= hosted.released) again.push(found.reply)
    }
  }
  if (again.length > 0) say(ctx, from, service, { type: 'replies', caller, replies: again })
  take(ctx, service, hosted, caller, session)
}

function take(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  caller: CallerId,
  session: Session,
): void {
  const { waiting } = session
  for (let call = waiting.get(session.next); call !== undefined; call = waiting.get(session.next)) {
    waiting.delete(call.no)
    session.next = call.no + 1
    const { no, method, args, via } = call
    if (via.includes(service.id)) {
      const text = `Cannot call "${method}" of service "${service.id}" as the call comes from a method of it: it would wait for itself`
      replyAtOnce(ctx, service, hosted, caller, { no, outcome: failed('E_WOULD_DEADLOCK', text) })
      continue
    }
    const entry: JournalEntry = { seq: ++hosted.seq, caller, no, method, args, via }
    hosted.queue.push(entry)
    if (hosted.spec.durability !== 'none') hosted.entries.push(entry)
  }
  touch(ctx, service)
}

/** A call that fails without a trace in the state. */
export function replyAtOnce(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  caller: CallerId,
  reply: ServiceReply,
): void {
  sessionOf(hosted, caller).replies.push({ seq: 0, reply })
  say(ctx, peerOfCaller(caller), service, { type: 'replies', caller, replies: [reply] })
}

/** The claim says that this peer is host: what is in the copy runs again, then what callers send. */
export function act(ctx: StepContext, service: ServiceState): void {
  const { state } = ctx
  const { spec } = service
  if (spec === null) return
  const hosted =
    service.hosted ?? (spec.durability === 'none' ? createHosted(ctx, service, spec, null) : null)
  if (hosted === null) {
    service.hostGone = { cause: 'dead', at: state.now }
    return
  }
  hosted.isActing = true
  hosted.proposed.clear()
  // Whoever wrote it first may be gone, and its lane with it.
  ctx.write({ type: 'service', by: state.self, spec })
  touch(ctx, service)
}

/** A new claim with the same host: copies go on under the new epoch. */
export function renewed(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  hosted.proposed.clear()
  hosted.isDoubted = false
  for (const [peer, kept] of hosted.kept) {
    if (kept.isPaused && kept.acked < 0) hosted.kept.delete(peer)
    // Said again at once: under the old epoch it may have been refused.
    kept.isPaused = false
    kept.heardAt = 0
  }
  touch(ctx, service)
}

/** Sends at the end of a step what the host has to say. */
export function flushHosted(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  if (!hosted.isActing) return
  if (hosted.isOpen) give(ctx, service, hosted)
  append(ctx, service, hosted)
  release(ctx, service, hosted)
}

function give(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { instance } = hosted
  const batch = nextBatch(hosted)
  if (batch.length > 0) {
    const calls: ServiceRun[] = []
    for (const entry of batch) {
      hosted.running.push(entry)
      const { seq, caller, method, args, via } = entry
      if (!isSkipped(entry)) calls.push({ seq, caller, method, args, via })
    }
    if (calls.length > 0) ctx.emit({ type: 'run-service', instance, calls })
    endSkipped(ctx, service, hosted)
  }
  if (!needsSnapshot(hosted)) return
  hosted.snapshotAt = givenOf(hosted)
  hosted.snapshotAskedAt = ctx.state.now
  ctx.emit({ type: 'snapshot-service', instance, seq: hosted.snapshotAt })
}

/** Where replies wait for a snapshot, the instance gets no more at a time than it soon has done. */
function nextBatch(hosted: Hosted): readonly JournalEntry[] {
  const { queue, running, spec, window } = hosted
  const count = spec.durability === 'snapshot' ? Math.max(0, window - running.size) : queue.length
  if (count >= queue.length) {
    hosted.queue = []
    return queue
  }
  return queue.splice(0, count)
}

/** The last call that the instance was given. */
function givenOf({ seq, queue }: Hosted): number {
  return seq - queue.length
}

function needsSnapshot(hosted: Hosted): boolean {
  const { spec, entries, kept, snapshotAt, snapshot } = hosted
  if (snapshotAt !== null || givenOf(hosted) <= snapshot.seq) return false
  if (spec.durability === 'snapshot') return entries.length >= (kept.size > 0 ? 1 : loneEvery)
  return spec.durability === 'journal' && entries.length >= spec.every
}

/** A call that killed its worker keeps its place in the journal, and is not run again: method ''. */
function isSkipped(entry: JournalEntry): boolean {
  return entry.method === ''
}

function endSkipped(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  for (
    let next = hosted.running.peek();
    next !== undefined && isSkipped(next);
    next = hosted.running.peek()
  ) {
    hosted.running.shift()
    const text = `Cannot end call ${next.no} of service "${service.id}" as the worker died under it`
    endCall(ctx, hosted, next, failed('E_SERVICE', text))
  }
  touch(ctx, service)
}

export function onRan(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  ended: readonly { readonly seq: number; readonly outcome: CallOutcome }[],
): void {
  for (const { seq, outcome } of ended) {
    const entry = hosted.running.peek()
    if (entry?.seq !== seq) continue
    hosted.running.shift()
    countRun(ctx.state, hosted, seq)
    endCall(ctx, hosted, entry, outcome)
    endSkipped(ctx, service, hosted)
  }
  touch(ctx, service)
}

/** Notes that call `seq` ended. */
export function countRun({ now }: SchedulerState, hosted: Hosted, seq: number): void {
  hosted.callsRun++
  hosted.quietSince = now
  // A journal that is run again is no news.
  if (seq > hosted.reached) hosted.deaths = 0
  hosted.reached = Math.max(hosted.reached, seq)
}

export function endCall(
  ctx: StepContext,
  hosted: Hosted,
  { seq, caller, no }: JournalEntry,
  outcome: CallOutcome,
): void {
  hosted.ran = seq
  const session = sessionOf(hosted, caller)
  session.done = Math.max(session.done, no)
  // Run again after the worker's death: its reply has left.
  if (seq <= hosted.released) return
  const reply: ServiceReply = { no, outcome }
  session.replies.push({ seq, reply })
  hosted.outbox.push(pending(ctx, seq, caller, reply))
}

function pending(ctx: StepContext, seq: number, caller: CallerId, reply: ServiceReply): PendingReply {
  return { seq, at: ctx.state.now, isLate: false, caller, reply }
}

/** Lets replies go that everybody who may have to follow has, too. */
function release(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const upTo = releasable(ctx.state, service, hosted)
  if (hosted.outbox.length > 0) armTick(ctx.state, service, ctx.state.now + ctx.state.config.serviceAwayMs)
  if (upTo <= hosted.released) return
  hosted.released = upTo
  const callers = new Map<CallerId, ServiceReply[]>()
  let count = 0
  for (const { seq, caller, reply } of hosted.outbox) {
    if (seq > upTo) break
    count++
    const replies = callers.get(caller)
    if (replies === undefined) callers.set(caller, [reply])
    else replies.push(reply)
  }
  hosted.outbox.splice(0, count)
  for (const [caller, replies] of callers) {
    const to = peerOfCaller(caller)
    for (let at = 0; at < replies.length; at += messageMax) {
      say(ctx, to, service, { type: 'replies', caller, replies: replies.slice(at, at + messageMax) })
    }
  }
}

/** Replies that wait for a follower or its voters for long: their callers are not kept waiting. */
export function tellLate(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { now, config } = ctx.state
  // While the state is made, others are not the ones who are late.
  const isMaking = hosted.spec.durability === 'snapshot' && hosted.snapshotAt !== null
  for (const late of hosted.outbox) {
    if (late.at + config.serviceAwayMs > now) return
    if (isMaking && late.seq > hosted.snapshot.seq) return
    if (late.isLate) continue
    late.isLate = true
    const text = `Cannot answer for service "${service.id}" as too few peers are in reach: the call has run, and may be lost`
    const replies = [{ no: late.reply.no, outcome: failed('E_SERVICE_AWAY', text) }]
    say(ctx, peerOfCaller(late.caller), service, { type: 'replies', caller: late.caller, replies })
  }
}

/** The last call whose reply may leave; -1: none, not even the news that the service is there. */
export function releasable(state: SchedulerState, { claim }: ServiceState, hosted: Hosted): number {
  if (!hosted.isOpen || !hosted.isActing || claim === null) return -1
  const { spec, ran, kept, proposed } = hosted
  if (spec.durability === 'none') return ran
  // Whoever is only proposed may never hear that it follows.
  if (claim.follower === null) return proposed.size === 0 && isAlone(state) ? ran : -1
  let upTo = Math.min(ran, kept.get(claim.follower)?.acked ?? -1)
  for (const peer of proposed) upTo = Math.min(upTo, kept.get(peer)?.acked ?? -1)
  return upTo
}

/** No other member is in view, or they are about to go. */
function isAlone({ self, peers, services }: SchedulerState): boolean {
  for (const { id, role } of peers.values())
    if (role === 'member' && id !== self && !services.leaving.has(id)) return false
  return true
}

/** The state after the last call that was asked for: from now on it is what a new instance starts from. */
export function takeSnapshot(
  hosted: Hosted,
  seq: number,
  state: ServiceSnapshot['state'],
  now: number,
): void {
  const { window, queue, snapshotAskedAt } = hosted
  if (now - snapshotAskedAt > windowMs) hosted.window = Math.max(1, window >> 1)
  else if (queue.length > 0) hosted.window = Math.min(windowMax, window * 2)
  const callers = [...hosted.sessions].map(([caller, { done, replies }]) => ({
    caller,
    done,
    replies: replies.map(({ reply }) => reply),
  }))
  hosted.snapshot = { seq, state, callers }
  hosted.entries = hosted.entries.filter((entry) => entry.seq > seq)
}

export function failed(code: string, text: string): CallOutcome {
  return { status: 'failed', error: errorRecord(code, text) }
}
