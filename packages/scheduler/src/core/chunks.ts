import { type ChunkId, ChunkPayload, innerChunks, isSameChunk } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type PeerId, peerOfProcessor } from '../model/ids.ts'
import type { ChunkWish, MessageOf } from '../model/message.ts'
import type { Outcome } from '../model/task.ts'
import { forgetOffersOf, meetEarlyOffer, withdrawOffer } from './chunk-farewell.ts'
import type { StepContext } from './context.ts'
import { dropIfUnused } from './holder.ts'
import { type ChunkState, findTask, type JobState, refOf, type SchedulerState, TaskState } from './state.ts'
import { canHold, lostError, makerOf, referenceError, trackerOf } from './trackers.ts'
import { makeEnded, makeReady, makeWaiting } from './transitions.ts'

/*
 * Theory of operation. A chunk has one *tracker*: the owner of the job whose task made it, or the peer
 * where a user put it. The tracker knows who holds copies and who has handles. Everybody else who needs
 * the chunk has an entry, too, and tells the tracker with `want`. A copy is kept for those who had it
 * made; they say `free` when their entry goes. An entry goes when nothing here refers to it any more:
 * no handle, no task that has not ended, no other peer, no value that a handle lies in, and, for a result, no job.
 */

/** The entry of a chunk, made with the first word of it. */
export function chunkOf(ctx: StepContext, payload: ChunkPayload): ChunkState {
  const { state } = ctx
  const known = state.chunks.get(payload.ref.id)
  if (known !== undefined) {
    // The first word of it may have come from a value that it lies in, which names nothing further in.
    if (known.inner.length === 0) known.inner = keepIn(ctx, known, payload.inner)
    return known
  }
  const chunk: ChunkState = {
    payload,
    holders: new Map(),
    neededBy: new Set(),
    keptIn: new Set(),
    inner: [],
    handles: 0,
    wanters: new Set(),
    askers: new Set(),
    keeper: payload.ref.home,
    wish: null,
    registeredWith: null,
    strangers: 0,
  }
  for (const peer of payload.holders)
    if (state.peers.has(peer) && canHold(state, chunk, peer)) chunk.holders.set(peer, state.now)
  state.chunks.set(payload.ref.id, chunk)
  chunk.inner = keepIn(ctx, chunk, payload.inner)
  return chunk
}

/** Keeps the chunks whose handles lie in a value for as long as the value may be read. */
function keepIn(
  ctx: StepContext,
  place: ChunkState | JobState,
  inner: readonly ChunkPayload[],
): readonly ChunkState[] {
  return inner.map((payload) => {
    const chunk = chunkOf(ctx, payload)
    chunk.keptIn.add(place)
    register(ctx, chunk)
    return chunk
  })
}

/** Notes that a task cannot run, or be forgotten, without this chunk. */
export function needChunk(ctx: StepContext, task: TaskState, payload: ChunkPayload): void {
  const chunk = chunkOf(ctx, payload)
  chunk.neededBy.add(task)
  if (task.chunks === null) task.chunks = [chunk]
  else if (!task.chunks.includes(chunk)) task.chunks.push(chunk)
  if (ctx.state.earlyOffers.size > 0) meetEarlyOffer(ctx, payload.ref.id)
}

/** Notes the chunks that a task's specification names. */
export function needSpecChunks(ctx: StepContext, task: TaskState): void {
  const { args, chunks } = task.spec
  if (args instanceof ChunkPayload) needChunk(ctx, task, args)
  if (chunks !== undefined) for (const { chunk } of chunks) needChunk(ctx, task, chunk)
}

/** The task has ended: it needs nothing any more. */
export function unneedChunks(ctx: StepContext, task: TaskState): void {
  const { chunks } = task
  task.chunks = null
  for (const chunk of chunks ?? []) {
    chunk.neededBy.delete(task)
    freeIfUnused(ctx, chunk)
  }
}

/** A task ended with a chunk as its value, or with handles to chunks inside it. */
export function noteResultChunk(ctx: StepContext, job: JobState, outcome: Outcome): void {
  if (outcome.status !== 'done') return
  if (!(outcome.value instanceof ChunkPayload)) {
    keepIn(ctx, job, innerChunks(outcome.value))
    return
  }
  const chunk = chunkOf(ctx, outcome.value)
  const { processor } = outcome
  const maker = processor === null ? outcome.value.ref.home : peerOfProcessor(processor)
  if (ctx.state.peers.has(maker)) addHolder(ctx, chunk, maker)
}

/** An attempt ran on `peer`: what it was given is there now. */
export function noteCopies(ctx: StepContext, task: TaskState, peer: PeerId): void {
  if (task.chunks === null || !ctx.state.peers.has(peer)) return
  for (const chunk of task.chunks) addHolder(ctx, chunk, peer)
}

export function addHolder(ctx: StepContext, chunk: ChunkState, peer: PeerId): void {
  if (!canHold(ctx.state, chunk, peer)) return
  const isFirst = chunk.holders.size === 0
  chunk.holders.set(peer, ctx.state.now)
  if (!isFirst) return
  for (const task of chunk.neededBy)
    if (isWaitingFor(task)) makeReady(ctx, task, 'front', 'its chunk is back')
  answerAskers(ctx, chunk, null)
}

/** Its inputs are known, and a chunk among them is nowhere. */
function isWaitingFor(task: TaskState): boolean {
  return task.status === 'waiting' && task.pendingNeeds === 0 && task.job.isMine && !task.job.isAdopting
}

/**
 * Somebody could not have the bytes: a holder that has not named them for long does not have them any more, as those
 * that keep something say so each second.
 */
export function doubtHolders(ctx: StepContext, chunk: ChunkState): void {
  const { self, now, config } = ctx.state
  for (const [peer, since] of [...chunk.holders])
    if (peer !== self && since < now - silentAudits * config.auditMs) removeHolder(ctx, chunk, peer)
}

const silentAudits = 3

export function removeHolder(ctx: StepContext, chunk: ChunkState, peer: PeerId): void {
  if (!chunk.holders.delete(peer) || chunk.holders.size > 0) return
  const { story, now } = ctx.state
  const { id } = chunk.payload.ref
  story.add(now, id, 'lost its last copy, with peer', peer)
  for (const task of chunk.neededBy) story.add(now, task, `chunk ${id} lost its last copy, with peer`, peer)
}

/** A peer is gone: with its copies, its handles, and what was kept for it. */
export function loseChunksOf(ctx: StepContext, peer: PeerId): void {
  forgetOffersOf(ctx.state, peer)
  for (const chunk of [...ctx.state.chunks.values()]) {
    removeHolder(ctx, chunk, peer)
    chunk.askers.delete(peer)
    if (chunk.registeredWith === peer) chunk.registeredWith = null
    if (chunk.wanters.delete(peer)) freeIfUnused(ctx, chunk)
  }
}

/**
 * Whether all chunks of a ready task are somewhere. If not it waits until they are made again, or fails
 * when that cannot be.
 */
export function hasChunks(ctx: StepContext, task: TaskState): boolean {
  const lost = (task.chunks ?? []).filter((chunk) => chunk.holders.size === 0)
  if (lost.length === 0) return true
  makeWaiting(ctx, task, `for chunk ${lost.map((chunk) => chunk.payload.ref.id).join(', ')}`)
  for (const chunk of lost) recover(ctx, chunk)
  return false
}

/** Makes a chunk without copies again, or has its tracker do so. */
function recover(ctx: StepContext, chunk: ChunkState): void {
  const { state } = ctx
  const tracker = trackerOf(state, chunk)
  const { task: ref } = chunk.payload
  if (tracker !== state.self) {
    // The owner of a job that is gone gets a successor; a user's chunk goes with its peer.
    if (state.peers.has(tracker) || (ref !== null && state.jobs.has(ref.job))) tellTracker(ctx, chunk, 'find')
    else lose(ctx, chunk, null)
    return
  }
  const maker = makerOf(state, chunk)
  if (maker === null) lose(ctx, chunk, null)
  else if (maker.job.isMine && !maker.job.isAdopting) remake(ctx, chunk, maker)
  else {
    // Others may be about to say that they hold it, or to claim the job: looked at again with the next audit.
    chunk.wish = 'find'
    state.wishes.add(chunk)
  }
}

/**
 * Runs a done task again for the bytes of its chunk. The task stays done: a second record with the same
 * specification is placed, and its result can only bring the same bytes back.
 */
function remake(ctx: StepContext, chunk: ChunkState, maker: TaskState): void {
  const { job, spec } = maker
  if (job.remakes.has(spec.no)) return
  ctx.state.story.add(ctx.state.now, maker, 'runs again, as nobody holds its chunk', chunk.payload.ref.id)
  const again = new TaskState(job, spec, null)
  again.remakes = chunk.payload.ref.id
  job.remakes.set(spec.no, again)
  needSpecChunks(ctx, again)
  ctx.begun.push(again)
}

/** A second run has ended. */
export function endRemake(ctx: StepContext, again: TaskState, outcome: Outcome): void {
  const { job, spec } = again
  if (job.remakes.get(spec.no) === again) job.remakes.delete(spec.no)
  unneedChunks(ctx, again)
  const chunk = ctx.state.chunks.get(again.remakes as ChunkId)
  if (chunk === undefined) return
  if (outcome.status === 'done' && outcome.value instanceof ChunkPayload) {
    if (isSameChunk(outcome.value.ref, chunk.payload.ref)) {
      noteResultChunk(ctx, job, outcome)
      return
    }
    const text = `Cannot make chunk "${again.remakes}" again as its task must give the same value twice: current value is another one`
    lose(ctx, chunk, errorRecord('E_HASH', text))
    return
  }
  lose(ctx, chunk, outcome.status === 'failed' ? outcome.error : null)
}

/** A newer owner makes lost chunks again from now on. */
export function forgetRemakes(ctx: StepContext, job: JobState): void {
  for (const again of [...job.remakes.values()]) {
    job.remakes.delete(again.spec.no)
    if (again.status !== 'waiting') makeWaiting(ctx, again, 'newer owner')
    unneedChunks(ctx, again)
  }
}

/** There is no copy and never will be: what waits for one fails. */
function lose(ctx: StepContext, chunk: ChunkState, cause: ErrorRecord | null): void {
  const error = lostError(chunk, cause)
  for (const task of [...chunk.neededBy]) {
    if (!isWaitingFor(task)) continue
    makeEnded(ctx, task, { status: 'failed', error, origin: refOf(task), attempts: 0, peer: null })
  }
  answerAskers(ctx, chunk, error)
}

/** Forgets a chunk that nothing here refers to, and frees the copies that were made for this peer. */
export function freeIfUnused(ctx: StepContext, chunk: ChunkState): void {
  // Grows while it is read: what lies inside goes with it.
  const unused = [chunk]
  for (const one of unused) {
    if (isUsed(ctx.state, one)) continue
    forget(ctx, one)
    for (const inner of one.inner) if (inner.keptIn.delete(one)) unused.push(inner)
  }
}

function isUsed(state: SchedulerState, chunk: ChunkState): boolean {
  if (chunk.handles > 0 || chunk.neededBy.size > 0 || chunk.wanters.size > 0 || chunk.askers.size > 0)
    return true
  if (chunk.keptIn.size > 0) return true
  const { ref, task } = chunk.payload
  // The result of a job that may still be asked for.
  if (task !== null && state.jobs.has(task.job)) return true
  return state.chunks.get(ref.id) !== chunk
}

function forget(ctx: StepContext, chunk: ChunkState): void {
  const { state } = ctx
  const { ref } = chunk.payload
  state.chunks.delete(ref.id)
  state.wishes.delete(chunk)
  for (const holder of chunk.holders.keys()) ctx.send(holder, { type: 'free', chunks: [ref.id] })
  tellRelease(ctx, chunk)
  dropIfUnused(ctx, ref.id)
}

/** The job is dropped here: its results go unless somebody has handles. */
export function freeResultsOf(ctx: StepContext, job: JobState): void {
  for (const chunk of [...ctx.state.chunks.values()]) {
    const wasKept = chunk.keptIn.delete(job)
    const isResult = chunk.payload.task?.job === job.id
    if (isResult && job.claim.peer !== '') chunk.keeper = job.claim.peer
    if (isResult || wasKept) freeIfUnused(ctx, chunk)
  }
}

/** A handle was made here: the tracker keeps the chunk for it. */
export function onChunkOpened(ctx: StepContext, payload: ChunkPayload): void {
  const chunk = chunkOf(ctx, payload)
  chunk.handles++
  register(ctx, chunk)
}

/** Has the tracker keep the chunk for this peer. */
function register(ctx: StepContext, chunk: ChunkState): void {
  const tracker = trackerOf(ctx.state, chunk)
  if (chunk.registeredWith !== tracker && tracker !== ctx.state.self) tellTracker(ctx, chunk, 'keep')
}

export function onChunkReleased(ctx: StepContext, id: ChunkId): void {
  const chunk = ctx.state.chunks.get(id)
  if (chunk === undefined || chunk.handles === 0) return
  chunk.handles--
  freeIfUnused(ctx, chunk)
}

/** The store's word on a copy here. */
export function onChunkStored(ctx: StepContext, id: ChunkId, isHeld: boolean): void {
  const { state } = ctx
  const chunk = state.chunks.get(id)
  if (isHeld) state.stored.add(id)
  else {
    state.stored.delete(id)
    state.kept.delete(id)
  }
  if (chunk === undefined) return
  if (isHeld) addHolder(ctx, chunk, state.self)
  else removeHolder(ctx, chunk, state.self)
}

/** Somebody here wants the bytes. @param isAgain the holders told before did not have them */
export function onChunkAsked(ctx: StepContext, payload: ChunkPayload, isAgain: boolean): void {
  const { state } = ctx
  const chunk = chunkOf(ctx, payload)
  chunk.askers.add(state.self)
  const isTracked = trackerOf(state, chunk) === state.self
  if (isAgain) doubtHolders(ctx, chunk)
  if (chunk.holders.size > 0 && (isTracked || !isAgain)) answerAskers(ctx, chunk, null)
  else recover(ctx, chunk)
}

function answerAskers(
  ctx: StepContext,
  chunk: ChunkState,
  error: ErrorRecord | null,
  told: readonly PeerId[] = [],
): void {
  // Peers that cannot reach each other reach each other's stores: through a member.
  const holders = [...new Set([...chunk.holders.keys(), ...told])]
  const { id } = chunk.payload.ref
  for (const peer of chunk.askers) {
    if (peer === ctx.state.self) ctx.emit({ type: 'chunk-located', chunk: id, holders, error })
    else ctx.send(peer, { type: 'located', chunk: id, wish: 'find', holders, error })
  }
  chunk.askers.clear()
  freeIfUnused(ctx, chunk)
}

/** Tells the tracker what is wanted of it, again and again until it has answered. */
function tellTracker(ctx: StepContext, chunk: ChunkState, wish: ChunkWish): void {
  chunk.wish = wish
  ctx.state.wishes.add(chunk)
  sendWish(ctx, chunk)
}

function sendWish(ctx: StepContext, chunk: ChunkState): void {
  const { state } = ctx
  const tracker = trackerOf(state, chunk)
  // In this order: a late `release` must not undo a new `keep`.
  if (chunk.wish === null || state.releases.has(releaseKey(chunk.payload.ref.id, tracker))) return
  if (tracker === state.self) {
    recoverAskers(ctx, chunk)
    return
  }
  if (chunk.registeredWith !== tracker) tellRelease(ctx, chunk)
  chunk.registeredWith = tracker
  ctx.send(tracker, { type: 'want', chunk: chunk.payload, wish: chunk.wish })
}

/** This peer became the tracker while it asked another one. */
function recoverAskers(ctx: StepContext, chunk: ChunkState): void {
  ctx.state.wishes.delete(chunk)
  chunk.wish = null
  if (chunk.holders.size === 0 && (chunk.askers.size > 0 || chunk.neededBy.size > 0)) recover(ctx, chunk)
}

/** The job has a newer owner, which is to know of the handles to its results. */
export function registerAnew(ctx: StepContext, job: JobState): void {
  const { chunks, self } = ctx.state
  if (job.claim.peer === self) return
  for (const chunk of chunks.values())
    if (chunk.handles > 0 && chunk.wish === null && chunk.payload.task?.job === job.id)
      tellTracker(ctx, chunk, 'keep')
}

/** No handles here any more: told to whoever was told of them, again and again until it has answered. */
function tellRelease(ctx: StepContext, chunk: ChunkState): void {
  const { payload, registeredWith: tracker } = chunk
  chunk.registeredWith = null
  if (tracker === null || !ctx.state.peers.has(tracker)) return
  const release = { tracker, message: { type: 'want', chunk: payload, wish: 'release' } as const }
  ctx.state.releases.set(releaseKey(payload.ref.id, tracker), release)
  ctx.send(tracker, release.message)
}

function releaseKey(id: ChunkId, tracker: PeerId): string {
  return `${id} ${tracker}`
}

/** Another peer tells this one, the tracker, what it wants of a chunk. */
export function onWant(ctx: StepContext, from: PeerId, { chunk: payload, wish }: MessageOf<'want'>): void {
  const { state } = ctx
  const { id } = payload.ref
  const known = state.chunks.get(id) ?? (state.kept.has(id) ? chunkOf(ctx, payload) : undefined)
  const answer = (holders: readonly PeerId[], error: ErrorRecord | null): void =>
    ctx.send(from, { type: 'located', chunk: id, wish, holders, error })
  if (known === undefined || !isSameChunk(known.payload.ref, payload.ref)) {
    answer([], referenceError(id, 'nothing is known of it'))
  } else if (wish === 'release') {
    const hadHandles = known.wanters.delete(from)
    known.askers.delete(from)
    answer([], hadHandles ? null : referenceError(id, 'that peer has no handle to it'))
    withdrawOffer(ctx, from, id)
    freeIfUnused(ctx, known)
  } else {
    known.wanters.add(from)
    if (wish === 'find') {
      known.askers.add(from)
      doubtHolders(ctx, known)
    }
    if (wish === 'keep') answer([...known.holders.keys()], null)
    else if (known.holders.size > 0) answerAskers(ctx, known, null)
    else recover(ctx, known)
  }
}

/** The tracker's answer to `want`. */
export function onLocated(ctx: StepContext, from: PeerId, message: MessageOf<'located'>): void {
  const { state } = ctx
  if (message.wish === 'release') state.releases.delete(releaseKey(message.chunk, from))
  const chunk = state.chunks.get(message.chunk)
  if (chunk === undefined || trackerOf(state, chunk) !== from) return
  if (message.wish === 'release') {
    sendWish(ctx, chunk)
    return
  }
  for (const holder of message.holders) if (state.peers.has(holder)) addHolder(ctx, chunk, holder)
  if (isToRepeat(ctx, chunk, message)) return
  if (chunk.wish === message.wish) {
    chunk.wish = null
    state.wishes.delete(chunk)
  }
  if (message.error === null) {
    if (message.wish === 'find') answerAskers(ctx, chunk, null, message.holders)
    return
  }
  // The peer where a user put it knows all that there ever was of it: it is freed, or went with an earlier start.
  if (chunk.payload.task === null) chunk.holders.clear()
  if (chunk.payload.task === null || message.wish === 'find') lose(ctx, chunk, message.error)
}

/** The answer is of no use yet: the tracker has just become one, or this peer has met none of the holders. */
function isToRepeat(
  { state }: StepContext,
  chunk: ChunkState,
  { wish, error }: MessageOf<'located'>,
): boolean {
  if (wish !== 'find' || chunk.wish !== 'find') return false
  if (error === null) return chunk.holders.size === 0 && chunk.neededBy.size > 0
  const { task } = chunk.payload
  const isStranger = error.code === 'E_CHUNK_REF' && task !== null && state.jobs.has(task.job)
  return isStranger && ++chunk.strangers < state.config.unfedMax
}

/** Repeats what no tracker has answered. */
export function auditChunks(ctx: StepContext): void {
  const { state } = ctx
  for (const [key, { tracker, message }] of state.releases) {
    if (state.peers.has(tracker)) ctx.send(tracker, message)
    else state.releases.delete(key)
  }
  for (const chunk of [...state.wishes]) {
    const tracker = trackerOf(state, chunk)
    const { task } = chunk.payload
    if (state.peers.has(tracker)) sendWish(ctx, chunk)
    else if (task === null || !state.jobs.has(task.job)) {
      chunk.wish = null
      state.wishes.delete(chunk)
      if (chunk.holders.size === 0) lose(ctx, chunk, null)
    }
  }
}

/** A holder says what it keeps for this peer: what is missing there went, what nobody needs is freed. */
export function onHolds(ctx: StepContext, from: PeerId, message: MessageOf<'holds'>): void {
  const { state } = ctx
  const told = new Set<ChunkId>()
  const free: ChunkId[] = []
  for (const { id, task } of message.chunks) {
    told.add(id)
    const chunk = state.chunks.get(id)
    if (chunk !== undefined) addHolder(ctx, chunk, from)
    else if (task === null || isForgotten(state, task)) free.push(id)
  }
  if (free.length > 0) ctx.send(from, { type: 'free', chunks: free })
  if (!message.isAll) return
  for (const chunk of state.chunks.values()) {
    const since = chunk.holders.get(from)
    const isAtHome = chunk.payload.task === null && chunk.payload.ref.home === from
    if (since === undefined || isAtHome || told.has(chunk.payload.ref.id)) continue
    // What was told meanwhile may have overtaken this message.
    if (since < state.now - state.config.auditMs) removeHolder(ctx, chunk, from)
  }
}

/** Whether a result that nobody here has an entry for can be given up: not while its task may still end with it. */
function isForgotten(state: SchedulerState, ref: NonNullable<ChunkPayload['task']>): boolean {
  const job = state.jobs.get(ref.job)
  if (job === undefined) return state.tombstones.has(ref.job)
  const task = findTask(state, ref)
  return job.isMine && !job.isAdopting && task !== undefined && task.outcome !== null
}
