import { type ChunkId, ChunkPayload } from '../model/chunk.ts'
import type { JobId, PeerId, TaskRef } from '../model/ids.ts'
import type { Assignment, KeptChunk, MessageOf } from '../model/message.ts'
import type { StepContext } from './context.ts'
import type { Call } from './effects.ts'
import type { KeptCopy, SchedulerState } from './state.ts'
import { trackerOf } from './trackers.ts'

/*
 * The holding half of a peer: which copies of chunks are here, and for whom. A result is kept for the
 * owner of its job, whoever that is by now; what was fetched for an attempt is kept for the owner that
 * gave it. They are told now and then, so that they know, and free what they do not need.
 */

/** The chunks that an attempt has to have here before it runs. */
export function chunksOf(task: Pick<Assignment, 'args' | 'inputs'>): readonly ChunkPayload[] {
  let chunks: ChunkPayload[] | null = null
  if (task.args instanceof ChunkPayload) chunks = [task.args]
  for (let index = 0; index < task.inputs.length; index++) {
    const value = task.inputs[index]?.value
    if (value instanceof ChunkPayload) {
      chunks ??= []
      chunks.push(value)
    }
  }
  return chunks ?? noChunks
}

const noChunks: readonly ChunkPayload[] = Object.freeze([])

/** Brings an attempt's chunks here, and keeps them for its owner. */
export function gather(ctx: StepContext, call: Call, chunks: readonly ChunkPayload[]): void {
  for (const { ref } of chunks) keptOf(ctx.state, ref.id).keptFor.add(call.owner)
  ctx.emit({ type: 'gather', callId: call.callId, chunks })
}

/** What could not be had is not kept: nobody may be told that it is here. */
export function forgetUngathered(ctx: StepContext, call: Call): void {
  const { state } = ctx
  for (const { ref } of chunksOf(call)) {
    const kept = state.kept.get(ref.id)
    if (kept === undefined || state.stored.has(ref.id)) continue
    kept.keptFor.delete(call.owner)
    dropIfUnkept(ctx, ref.id, kept)
  }
}

/** A fetch has ended that no attempt waits for any more: what did not come is not kept. */
export function forgetMissing(ctx: StepContext): void {
  const { state } = ctx
  const coming = new Set<ChunkId>()
  for (const { call } of state.executor.calls.values())
    for (const { ref } of chunksOf(call)) coming.add(ref.id)
  for (const [id, kept] of [...state.kept]) {
    if (kept.task !== null || state.stored.has(id) || coming.has(id)) continue
    kept.keptFor.clear()
    dropIfUnkept(ctx, id, kept)
  }
}

/** A result became a chunk of this peer: it stays for the job's owner. */
export function keepResult(ctx: StepContext, payload: ChunkPayload, owner: PeerId): void {
  const kept = keptOf(ctx.state, payload.ref.id)
  kept.payload = payload
  kept.task = payload.task
  kept.owner = owner
}

function keptOf(state: SchedulerState, id: ChunkId): KeptCopy {
  let kept = state.kept.get(id)
  if (kept === undefined) {
    kept = { payload: null, task: null, owner: null, keptFor: new Set(), orphanedAt: null }
    state.kept.set(id, kept)
  }
  return kept
}

/** Drops the copy here unless somebody needs it. */
export function dropIfUnused(ctx: StepContext, id: ChunkId): void {
  if (!ctx.state.kept.has(id) && !ctx.state.chunks.has(id)) ctx.emit({ type: 'drop-chunk', chunk: id })
}

/** Somebody for whom copies were kept needs them no more. */
export function onFree(ctx: StepContext, from: PeerId, message: MessageOf<'free'>): void {
  const { state } = ctx
  for (const id of message.chunks) {
    const kept = state.kept.get(id)
    if (kept === undefined) continue
    const wasFor = kept.keptFor.delete(from)
    const isOwner = kept.task !== null && ownerOf(state, kept, kept.task.job) === from
    if (isOwner) kept.task = null
    if (!wasFor && !isOwner) state.story.add(state.now, id, 'free refused (E_CHUNK_REF), asked by peer', from)
    dropIfUnkept(ctx, id, kept)
  }
}

function dropIfUnkept(ctx: StepContext, id: ChunkId, kept: KeptCopy): void {
  if (kept.task !== null || kept.keptFor.size > 0) return
  ctx.state.kept.delete(id)
  dropIfUnused(ctx, id)
}

/** The owner of the job as it is known here. */
function ownerOf(state: SchedulerState, kept: KeptCopy, job: JobId): PeerId | null {
  const owner = state.jobs.get(job)?.claim.peer ?? state.executor.jobs.get(job)?.owner ?? ''
  return owner === '' ? kept.owner : (owner as PeerId)
}

/** A peer is gone: copies that were fetched for it have no other reason. Results wait for the next owner. */
export function loseKeeper(ctx: StepContext, peer: PeerId): void {
  for (const [id, kept] of [...ctx.state.kept]) {
    if (kept.keptFor.delete(peer)) dropIfUnkept(ctx, id, kept)
  }
}

/** Tells `to` which copies are kept for it. */
export function tellHolds(ctx: StepContext, to: PeerId): void {
  const chunks = keptFor(ctx.state).get(to)
  if (chunks !== undefined) ctx.send(to, { type: 'holds', chunks, isAll: true })
}

function keptFor(state: SchedulerState): Map<PeerId, KeptChunk[]> {
  const lists = new Map<PeerId, KeptChunk[]>()
  const add = (peer: PeerId, id: ChunkId, task: TaskRef | null): void => {
    const list = lists.get(peer) ?? []
    list.push({ id, task })
    lists.set(peer, list)
  }
  for (const [id, kept] of state.kept) {
    if (!state.stored.has(id)) continue
    const owner = kept.task === null ? null : ownerOf(state, kept, kept.task.job)
    if (owner !== null && state.peers.has(owner)) add(owner, id, kept.task)
    for (const peer of kept.keptFor) if (peer !== owner) add(peer, id, null)
  }
  // Kept for nobody, but here: who looks for a copy is to know of it.
  for (const id of state.stored) {
    const chunk = state.kept.has(id) ? undefined : state.chunks.get(id)
    const tracker = chunk === undefined ? state.self : trackerOf(state, chunk)
    if (chunk !== undefined && tracker !== state.self && state.peers.has(tracker))
      add(tracker, id, chunk.payload.task)
  }
  return lists
}

/** Tells everybody what is kept for them, and drops results that nobody has asked after for long. */
export function auditKept(ctx: StepContext): void {
  const { state } = ctx
  for (const [peer, chunks] of keptFor(state)) ctx.send(peer, { type: 'holds', chunks, isAll: true })
  for (const [id, kept] of [...state.kept]) {
    const owner = kept.task === null ? null : ownerOf(state, kept, kept.task.job)
    if (kept.task === null || (owner !== null && state.peers.has(owner))) kept.orphanedAt = null
    else {
      kept.orphanedAt ??= state.now
      if (state.now - kept.orphanedAt < state.config.orphanResultMs) continue
      kept.task = null
      dropIfUnkept(ctx, id, kept)
    }
  }
}
