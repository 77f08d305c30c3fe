import type { PeerId } from '../../model/ids.ts'
import type { ServiceMessageOf, ServiceSnapshot } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { armTick, say, touch } from './say.ts'
import type { Copy, Hosted, Kept, ServiceState } from './state.ts'

/** Journal entries in one message. */
const entriesMax = 512

/** Sends a whole copy, and sends it again while it is not acknowledged. */
export function install(ctx: StepContext, service: ServiceState, hosted: Hosted, to: PeerId): void {
  const kept: Kept = {
    number: hosted.nextCopy++,
    acked: -1,
    sent: hosted.seq,
    heardAt: ctx.state.now,
    isPaused: false,
  }
  hosted.kept.set(to, kept)
  sendWhole(ctx, service, hosted, to, kept)
  touch(ctx, service)
  armTick(ctx.state, service, ctx.state.now + ctx.state.config.serviceRetryMs)
}

function sendWhole(ctx: StepContext, service: ServiceState, hosted: Hosted, to: PeerId, kept: Kept): void {
  const { spec, snapshot } = hosted
  const entries = spec.durability === 'journal' ? [...hosted.entries] : []
  say(ctx, to, service, { type: 'install', spec, copy: kept.number, snapshot, entries })
}

/** The number of the copy that stays with a host which handed over: lower than any that is sent. */
const leftNumber = 0

/** What stays with a host that hands over to `next`, which has the same. */
export function leftCopy({ spec, snapshot, entries, seq }: Hosted, next: PeerId): Copy {
  const kept = spec.durability === 'journal' ? [...entries] : []
  return { from: next, number: leftNumber, snapshot, entries: kept, seq, early: new Map() }
}

/** This peer's copy of what it takes over stays where it came from. */
export function keepLeft({ state }: StepContext, hosted: Hosted, from: PeerId): void {
  const { seq } = hosted
  hosted.kept.set(from, { number: leftNumber, acked: seq, sent: seq, heardAt: state.now, isPaused: false })
}

/** Sends what each copy lacks. */
export function append(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  if (hosted.spec.durability !== 'journal') return
  for (const [to, kept] of hosted.kept) {
    if (kept.sent >= hosted.seq) continue
    sendEntries(ctx, service, hosted, to, kept.number, kept.sent)
    kept.sent = hosted.seq
    kept.heardAt = ctx.state.now
    armTick(ctx.state, service, ctx.state.now + ctx.state.config.serviceRetryMs)
  }
}

function sendEntries(
  ctx: StepContext,
  service: ServiceState,
  { entries }: Hosted,
  to: PeerId,
  copy: number,
  after: number,
): void {
  const epoch = service.claim?.epoch ?? 0
  // Entries have no gaps.
  const first = Math.max(0, after + 1 - (entries[0]?.seq ?? 0))
  for (let at = first; at < entries.length; at += entriesMax) {
    const part = entries.slice(at, at + entriesMax)
    say(ctx, to, service, { type: 'append', epoch, copy, snapshot: null, entries: part })
  }
}

/** A new snapshot: it is the copy, or lets a journal's copies forget what is in it. */
export function appendSnapshot(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { snapshot } = hosted
  for (const [to, kept] of hosted.kept) {
    sendSnapshot(ctx, service, to, kept, snapshot)
    kept.sent = Math.max(kept.sent, snapshot.seq)
    armTick(ctx.state, service, ctx.state.now + ctx.state.config.serviceRetryMs)
  }
}

function sendSnapshot(
  ctx: StepContext,
  service: ServiceState,
  to: PeerId,
  kept: Kept,
  snapshot: ServiceSnapshot,
): void {
  const epoch = service.claim?.epoch ?? 0
  kept.heardAt = ctx.state.now
  say(ctx, to, service, { type: 'append', epoch, copy: kept.number, snapshot, entries: [] })
}

/** Says again what was not acknowledged for a while. */
export function resendCopies(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { now, config } = ctx.state
  for (const [to, kept] of hosted.kept) {
    if (kept.acked >= kept.sent || kept.isPaused) continue
    if (kept.heardAt + config.serviceRetryMs <= now) resend(ctx, service, hosted, to, kept)
    armTick(ctx.state, service, kept.heardAt + config.serviceRetryMs)
  }
}

export function resend(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  to: PeerId,
  kept: Kept,
): void {
  kept.heardAt = ctx.state.now
  if (kept.acked < 0 || !hosted.isActing) {
    sendWhole(ctx, service, hosted, to, kept)
    return
  }
  if (kept.acked < hosted.snapshot.seq) sendSnapshot(ctx, service, to, kept, hosted.snapshot)
  if (hosted.spec.durability === 'journal') {
    sendEntries(ctx, service, hosted, to, kept.number, Math.max(kept.acked, hosted.snapshot.seq))
  }
}

/** @returns whether this peer may be named follower now */
export function onAppended(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { copy, seq }: ServiceMessageOf<'appended'>,
): boolean {
  const kept = service.hosted?.kept.get(from)
  if (kept?.number !== copy || seq <= kept.acked) return false
  kept.acked = seq
  kept.heardAt = ctx.state.now
  touch(ctx, service)
  return service.claim?.follower !== from
}

export function onAppendRefused(
  _ctx: StepContext,
  from: PeerId,
  { hosted }: ServiceState,
  { copy, reason }: ServiceMessageOf<'append-refused'>,
): void {
  const kept = hosted?.kept.get(from)
  if (hosted === null || kept?.number !== copy) return
  if (reason === 'missing') hosted.kept.delete(from)
  else kept.isPaused = true
}
