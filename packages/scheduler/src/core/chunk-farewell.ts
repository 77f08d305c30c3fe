import { type ChunkId, ChunkPayload } from '../model/chunk.ts'
import { compareIds, type PeerId } from '../model/ids.ts'
import type { MessageOf } from '../model/message.ts'
import { rankSuccessors } from '../policy/own.ts'
import type { StepContext } from './context.ts'
import type { ChunkState, SchedulerState } from './state.ts'

/*
 * What a peer that leaves does for its chunks. Those that others need and that only it may hold are offered to them
 * (`want` with the wish `take`), the small ones first, up to a limit. Who needs one fetches it, says so (`located`), and is
 * its own tracker from then on; who does not says so at once.
 */

/** What may be offered here before anything is known of it, at most. */
const earlyOffersMax = 4096

interface Offer {
  readonly to: PeerId
  readonly payload: ChunkPayload
}

/** Offers what is here to those who would lose it. */
export function onChunksLeaving(ctx: StepContext): void {
  const { state } = ctx
  let leftBytes = state.config.farewellBytesMax
  for (const { to, payload } of offers(state)) {
    const { ref, task, inner } = payload
    leftBytes -= ref.sizeBytes
    if (leftBytes < 0) break
    state.offered.add(offerKey(ref.id, to))
    const chunk = new ChunkPayload(ref, task, [state.self], inner)
    ctx.send(to, { type: 'want', chunk, wish: 'take' })
  }
  tellIfOver(ctx)
}

/** The small ones first: they are most for the time that there is. */
function offers(state: SchedulerState): readonly Offer[] {
  const all: Offer[] = []
  for (const chunk of state.chunks.values()) {
    const { payload } = chunk
    if (payload.task !== null || chunk.keeper !== state.self || !state.stored.has(payload.ref.id)) continue
    for (const to of takersOf(state, chunk)) all.push({ to, payload })
  }
  for (const [id, { payload, task }] of state.kept) {
    const owner =
      task === null
        ? null
        : (state.jobs.get(task.job)?.claim.peer ?? state.executor.jobs.get(task.job)?.owner)
    if (payload === null || !state.stored.has(id) || owner === undefined || owner === null) continue
    if (owner !== state.self && state.peers.has(owner as PeerId)) all.push({ to: owner as PeerId, payload })
  }
  return all.sort(
    (left, right) =>
      left.payload.ref.sizeBytes - right.payload.ref.sizeBytes ||
      compareIds(left.payload.ref.id, right.payload.ref.id),
  )
}

/** Those with handles, and whoever will own the tasks that need it. */
function takersOf(state: SchedulerState, { wanters, neededBy }: ChunkState): ReadonlySet<PeerId> {
  const takers = new Set([...wanters].filter((peer) => state.peers.has(peer)))
  const members: PeerId[] = []
  for (const peer of state.peers.values())
    if (peer.role === 'member' && peer.id !== state.self) members.push(peer.id)
  for (const { job } of neededBy) {
    const [owner] = job.isMine ? rankSuccessors(job.id, members) : [job.claim.peer]
    if (owner !== undefined && owner !== state.self && state.peers.has(owner)) takers.add(owner)
  }
  return takers
}

/** A peer that leaves offers a chunk. */
export function onTake(ctx: StepContext, from: PeerId, { chunk: payload }: MessageOf<'want'>): void {
  const { state } = ctx
  const chunk = state.chunks.get(payload.ref.id)
  if (chunk === undefined && payload.task === null && state.earlyOffers.size < earlyOffersMax) {
    state.earlyOffers.set(payload.ref.id, { from, payload })
    return
  }
  // Another peer cannot make this one fetch what it does not need.
  if (chunk === undefined || !mayOffer(chunk, from) || !wouldLose(state, chunk, from)) {
    answer(ctx, from, payload.ref.id, [])
    return
  }
  state.taking.set(payload.ref.id, from)
  if (state.stored.has(payload.ref.id)) onTaken(ctx, payload.ref.id)
  else ctx.emit({ type: 'fetch-chunk', chunk: payload })
}

/** A task needs the chunk: it may have been offered before its document came, which takes longer than a message. */
export function meetEarlyOffer(ctx: StepContext, chunk: ChunkId): void {
  const early = ctx.state.earlyOffers.get(chunk)
  if (early === undefined) return
  ctx.state.earlyOffers.delete(chunk)
  onTake(ctx, early.from, { type: 'want', chunk: early.payload, wish: 'take' })
}

/** A peer that offered is gone: what it still had went with it. */
export function forgetOffersOf({ earlyOffers, taking }: SchedulerState, peer: PeerId): void {
  for (const [id, { from }] of earlyOffers) if (from === peer) earlyOffers.delete(id)
  for (const [id, from] of taking) if (from === peer) taking.delete(id)
}

function mayOffer({ payload, keeper }: ChunkState, from: PeerId): boolean {
  return payload.task === null ? keeper === from : payload.ref.home === from
}

function wouldLose({ self }: SchedulerState, chunk: ChunkState, from: PeerId): boolean {
  const { handles, neededBy, wanters, keptIn, payload, holders } = chunk
  if (handles + neededBy.size + wanters.size + keptIn.size === 0) return false
  // What a user put goes with its tracker for whoever does not have it.
  return payload.task === null || [...holders.keys()].every((holder) => holder === from || holder === self)
}

function answer(ctx: StepContext, to: PeerId, chunk: ChunkId, holders: readonly PeerId[]): void {
  ctx.send(to, { type: 'located', chunk, wish: 'take', holders, error: null })
}

/** A copy is here. */
export function onTaken(ctx: StepContext, id: ChunkId): void {
  const { state } = ctx
  const from = state.taking.get(id)
  const chunk = state.chunks.get(id)
  if (from === undefined || !state.taking.delete(id)) return
  if (chunk !== undefined && chunk.payload.task === null) {
    chunk.keeper = state.self
    chunk.registeredWith = null
  }
  answer(ctx, from, id, [state.self])
}

/** One that was offered is in good hands, or not needed there. */
export function onOfferTaken(ctx: StepContext, from: PeerId, { chunk }: MessageOf<'located'>): void {
  withdrawOffer(ctx, from, chunk)
}

/** Who had handles let go of the last one while the offer was on its way: it waits for nothing. */
export function withdrawOffer(ctx: StepContext, to: PeerId, chunk: ChunkId): void {
  if (ctx.state.offered.delete(offerKey(chunk, to))) tellIfOver(ctx)
}

function tellIfOver(ctx: StepContext): void {
  if (ctx.state.offered.size === 0) ctx.emit({ type: 'chunks-left' })
}

function offerKey(id: ChunkId, to: PeerId): string {
  return `${id} ${to}`
}
