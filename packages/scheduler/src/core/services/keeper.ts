import type { PeerId } from '../../model/ids.ts'
import type { JournalEntry, ServiceMessageOf, ServiceSnapshot } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { learnSpec } from './claims.ts'
import { say, tellClaim } from './say.ts'
import type { Copy, ServiceState } from './state.ts'

export function onInstall(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { spec, copy: number, snapshot, entries }: ServiceMessageOf<'install'>,
): void {
  learnSpec(ctx, service, spec)
  const { claim } = service
  if (service.ended !== null || (claim !== null && from !== claim.host && from !== claim.follower)) {
    tellClaim(ctx, from, service)
    return
  }
  if (claim !== null && from === claim.host && service.pausedAt >= claim.epoch) {
    say(ctx, from, service, { type: 'append-refused', copy: number, reason: 'paused' })
    return
  }
  let copy = service.copies.get(from)
  if (copy !== undefined && copy.number > number) return
  if (copy === undefined || copy.number < number) {
    copy = { from, number, snapshot, entries: [], seq: snapshot.seq, early: new Map() }
    service.copies.set(from, copy)
  }
  add(copy, entries)
  say(ctx, from, service, { type: 'appended', copy: number, seq: copy.seq })
}

export function onAppend(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { epoch, copy: number, snapshot, entries }: ServiceMessageOf<'append'>,
): void {
  const { claim } = service
  const isOld = claim !== null && (claim.epoch > epoch || (claim.epoch === epoch && claim.host !== from))
  if (service.ended !== null || isOld) {
    tellClaim(ctx, from, service)
    return
  }
  const copy = service.copies.get(from)
  const isPaused = epoch <= service.pausedAt
  if (isPaused || copy?.number !== number) {
    // An older copy's message, late.
    if (!isPaused && copy !== undefined && copy.number > number) return
    const reason = isPaused ? 'paused' : 'missing'
    say(ctx, from, service, { type: 'append-refused', copy: number, reason })
    return
  }
  service.hostGone = null
  if (snapshot !== null) replaceStart(copy, snapshot)
  add(copy, entries)
  say(ctx, from, service, { type: 'appended', copy: number, seq: copy.seq })
}

function replaceStart(copy: Copy, snapshot: ServiceSnapshot): void {
  if (snapshot.seq <= copy.snapshot.seq) return
  copy.snapshot = snapshot
  copy.entries = copy.entries.filter((entry) => entry.seq > snapshot.seq)
  copy.seq = Math.max(copy.seq, snapshot.seq)
  add(copy, [])
}

/** Messages may overtake each other: what lacks those before it waits. */
function add(copy: Copy, entries: readonly JournalEntry[]): void {
  for (const entry of entries) if (entry.seq > copy.seq) copy.early.set(entry.seq, entry)
  if (copy.early.size === 0) return
  for (let next = copy.early.get(copy.seq + 1); next !== undefined; next = copy.early.get(copy.seq + 1)) {
    copy.early.delete(next.seq)
    copy.entries.push(next)
    copy.seq = next.seq
  }
  for (const seq of copy.early.keys()) if (seq <= copy.seq) copy.early.delete(seq)
}
