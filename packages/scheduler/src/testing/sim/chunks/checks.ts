import type { Event } from '../../../core/events.ts'
import type { ProcessorState, SchedulerState, TaskState } from '../../../core/state.ts'
import type { ChunkId } from '../../../index.ts'
import { matchesScope } from '../../../model/scope.ts'
import { hasCredit, placementCostMs } from '../../../policy/place.ts'
import type { ChunkWorld, SeenGet, SeenState } from './room.ts'

/** A copy that somebody has had for so long, in sight of an owner, is known to that owner: holders say so every second. */
const knownMs = 4000
/** Costs that differ by less are equal. */
const costMs = 0.001

/** Gets of users on peers that run, which have not ended. */
export function openGets({ gets }: ChunkWorld): readonly SeenGet[] {
  return gets.filter(({ peer, isOver }) => !isOver && peer.gate.state === 'running')
}

/** What an event says of what users put: with their peer it goes, and a peer that was given up lets its handles go. */
export function beforeStep({ world }: ChunkWorld, peer: number, event: Event): void {
  if (event.type !== 'peer-left' && event.type !== 'peer-joined') return
  if (event.type === 'peer-joined' && event.epoch === 1) return
  const subject = world.peers.find((other) => other?.endpoint.id === event.peer)
  world.history.lostPuts(event.peer)
  const isGone = subject === undefined || subject === null || subject.gate.state === 'dead'
  const self = world.shape.peers[peer]?.id
  if (!isGone && self !== undefined) world.history.lostPuts(self)
}

/** Checks what a step decided on. */
export function afterStep(room: ChunkWorld, peer: number, state: SchedulerState): void {
  const seen = seenOf(room, state)
  for (const chunk of state.chunks.values()) {
    const { id } = chunk.payload.ref
    room.made.add(id)
    if (chunk.holders.size > 0) seen.held.add(id)
    else if (seen.held.delete(id)) seen.losses.set(id, (seen.losses.get(id) ?? 0) + 1)
  }
  for (const job of state.jobs.values()) {
    for (const again of job.remakes.values()) {
      if (seen.remakes.has(again)) continue
      seen.remakes.add(again)
      checkRemake(room, peer, state, again)
    }
  }
  for (const processor of state.processors.values()) checkPlaces(room, state, seen, processor)
}

function seenOf({ seen }: ChunkWorld, state: SchedulerState): SeenState {
  const known = seen.get(state)
  if (known !== undefined) return known
  const fresh: SeenState = {
    held: new Set(),
    remakes: new Set(),
    losses: new Map(),
    asked: new Map(),
    placed: new WeakMap(),
  }
  seen.set(state, fresh)
  return fresh
}

/** A chunk is made again only when nobody in sight has it, and once for each time that its last holder was lost. */
function checkRemake(room: ChunkWorld, peer: number, state: SchedulerState, again: TaskState): void {
  const { world, chunks, plan } = room
  const id = again.remakes as ChunkId
  const seen = seenOf(room, state)
  const asked = (seen.asked.get(id) ?? 0) + 1
  seen.asked.set(id, asked)
  const claims = again.job.claim.epoch
  if (asked > (seen.losses.get(id) ?? 0) + claims)
    world.history.violate(
      'remakes',
      `p${peer} has ${id} made for the ${asked}th time, as often as it lost its last holder`,
    )
  if (plan.kind === 'chaos') return
  const nowMs = world.loop.now()
  for (const { at, sinceMs } of chunks.holders(id)) {
    const view = state.peers.get(at.id)
    if (view === undefined || nowMs - sinceMs < knownMs || state.now - view.joinedAt < knownMs) continue
    world.history.violate(
      'held',
      `p${peer} has ${id} made again, which ${at.id} has had for ${(nowMs - sinceMs).toFixed(0)} ms`,
    )
  }
}

/** A task went where it costs least: bytes are moved only where waiting for a holder with a free place costs more. */
function checkPlaces(
  { world }: ChunkWorld,
  state: SchedulerState,
  seen: SeenState,
  processor: ProcessorState,
): void {
  let queuedMs = 0
  for (const task of processor.assigned) {
    const beforeMs = queuedMs
    if (task.openChildren === 0) queuedMs += task.estimateMs
    if (task.chunks === null || task.losses !== null || seen.placed.get(task) === task.attempt) continue
    if (task.assignedAt !== state.now) continue
    seen.placed.set(task, task.attempt)
    const hereMs = costMsOf(state, task, processor, beforeMs)
    for (const other of state.processors.values()) {
      if (
        other === processor ||
        !isFree(state, other) ||
        !matchesScope(task.spec.options.scope, other.record)
      )
        continue
      if (task.chunks.some((chunk) => !chunk.holders.has(other.peer.id))) continue
      const thereMs = costMsOf(state, task, other, other.queuedMs)
      if (thereMs + costMs < hereMs)
        world.history.violate(
          'placed',
          `#${task.spec.no} is on ${processor.record.id} for ${hereMs.toFixed(1)} ms where ${other.record.id}, which has its chunks, costs ${thereMs.toFixed(1)}`,
        )
    }
  }
}

function isFree({ self, config }: SchedulerState, processor: ProcessorState): boolean {
  const { peer, guest, isClosing } = processor
  if (peer.id === self || guest !== null || isClosing || peer.isSuspected || peer.isMute) return false
  return hasCredit(processor, peer.rttMs, config)
}

function costMsOf(
  state: SchedulerState,
  task: TaskState,
  { record, peer }: ProcessorState,
  queuedMs: number,
): number {
  const { rttMs, bytesPerMs } = peer
  const estimate = state.estimates.get(task.spec.operation)
  const runMs =
    estimate === undefined
      ? state.config.unknownRunMs / record.score
      : (estimate.byProcessor.get(record.id) ?? estimate.meanMs / record.score)
  const missing = (task.chunks ?? []).filter((chunk) => !chunk.holders.has(peer.id))
  const bytesToMove = missing.reduce((sum, chunk) => sum + chunk.payload.ref.sizeBytes, 0)
  return placementCostMs({ queuedMs, runMs, bytesToMove, bytesPerMs, rttMs })
}

/** When all gets had their time: each has ended; where nothing went wrong, nothing was made or moved twice. */
export function checkChunks(room: ChunkWorld): void {
  const { world, plan, chunks, remakes } = room
  for (const { peer, chunk } of openGets(room).slice(0, 3))
    world.history.violate('get', `p${peer.index} waits for ${chunk.ref.id} for ever`)
  if (plan.kind !== 'calm') return
  for (const [id, count] of remakes) world.history.violate('calm', `${id} is made again ${count} times`)
  for (const [move, count] of chunks.moves)
    if (count > 1) world.history.violate('calm', `${move} is moved ${count} times`)
}

/** When the last job is forgotten and the last handle let go, nobody has, knows or wants any chunk. */
export function checkForgottenChunks({ world, chunks }: ChunkWorld): void {
  const { history } = world
  for (const [id, count] of chunks.copies()) {
    const at = chunks.holders(id).filter((holder) => holder.at.gate.state === 'running')
    if (at.length === 0) continue
    history.violate(
      'freed',
      `${count} copies of ${id} are left, on ${at.map((holder) => holder.at.id).join(', ')}`,
    )
  }
  for (const peer of world.peers) {
    if (peer?.gate.state !== 'running') continue
    const { state } = peer.runtime
    for (const [id, chunk] of state.chunks) {
      const { handles, neededBy, wanters, askers } = chunk
      const why = `${handles} handles, ${neededBy.size} tasks, ${[...wanters].join(' ')} wants, ${askers.size} ask`
      history.violate('freed', `p${peer.index} still has an entry of ${id}: ${why}`)
    }
    const left = [state.kept, state.stored, state.wishes, state.releases].map(({ size }) => size)
    if (left.some((count) => count > 0))
      history.violate(
        'freed',
        `p${peer.index} still has ${left.join(', ')} copies kept, stored, wishes, releases`,
      )
  }
}
