import { errorRecord } from '../model/errors.ts'
import { type JobId, type PeerId, taskIdOf } from '../model/ids.ts'
import type { AttemptRef } from '../model/message.ts'
import { scopeKey } from '../model/scope.ts'
import type { Outcome } from '../model/task.ts'
import { auditChunks, forgetRemakes, freeResultsOf } from './chunks.ts'
import type { StepContext } from './context.ts'
import { armDrop } from './ended.ts'
import { auditExecutor } from './executor-orders.ts'
import { auditKept } from './holder.ts'
import { requeue } from './jobs.ts'
import { askForProfiles } from './on-peer.ts'
import { askForCancels } from './on-user.ts'
import { onTick } from './services/index.ts'
import { dissolve } from './slices.ts'
import { type ReadyLane, refOf, type SchedulerState, type TaskState, tasksOf } from './state.ts'
import {
  askToAdopt,
  isOver,
  onAdoptGraceOver,
  onReclaimDue,
  onTakeoverDue,
  planTakeover,
} from './takeover.ts'
import type { TimerAction } from './timers.ts'
import { makeEnded } from './transitions.ts'
import { auditWatches, failWatches, onUnknownDue } from './watches.ts'

/** Jobs remembered as dropped, so that no late document brings them back. */
const tombstonesMax = 10_000
/** Attempts named in one audit message. */
const auditBatchMax = 1000

export function onTimer(ctx: StepContext, action: TimerAction): void {
  switch (action.type) {
    case 'adopt-grace':
      onAdoptGraceOver(ctx, action.job, action.epoch)
      return
    case 'takeover':
      onTakeoverDue(ctx, action.job, action.epoch)
      return
    case 'reclaim':
      onReclaimDue(ctx, action.job, action.epoch)
      return
    case 'drop-job':
      dropJob(ctx, action.job)
      return
    case 'retry':
      if (action.task.status === 'backoff') requeue(ctx, action.task, 'retry')
      return
    case 'starve':
      failStarved(ctx, action.lane)
      return
    case 'orphan':
      failOrphans(ctx, action.job)
      return
    case 'unknown':
      onUnknownDue(ctx, action.job, action.nos)
      return
    case 'service':
      onTick(ctx, action.service)
      return
    case 'place':
      ctx.isDirty = true
      return
    case 'audit':
      ctx.state.isAuditArmed = false
      ctx.state.hasHeldBack = false
      audit(ctx)
  }
}

function dropJob(ctx: StepContext, id: JobId): void {
  const { state } = ctx
  const job = state.jobs.get(id)
  if (job?.isEnded !== true) return
  if (!isOver(job)) {
    planTakeover(ctx, job, 0)
    armDrop(ctx, job)
    return
  }
  for (const task of tasksOf(job)) {
    if (task.isWatched && task.outcome === null) ctx.settle(refOf(task), task.count, forgotten(task))
  }
  forgetRemakes(ctx, job)
  state.jobs.delete(id)
  freeResultsOf(ctx, job)
  state.earlyOutcomes.delete(id)
  state.tombstones.add(id)
  for (const oldest of state.tombstones) {
    if (state.tombstones.size <= tombstonesMax) break
    state.tombstones.delete(oldest)
  }
  if (state.executor.jobs.get(id)?.held.size === 0) state.executor.jobs.delete(id)
  if (state.isReplicated) ctx.emit({ type: 'drop-job', job: id })
  failWatches(ctx, id, [...(state.foreignWatches.get(id) ?? [])])
  ctx.emit({ type: 'notify', notice: { type: 'job-dropped', job: id, name: job.name } })
}

function forgotten(task: TaskState): Outcome {
  const id = taskIdOf(refOf(task))
  const error = errorRecord(
    'E_OWNER_LOST',
    `Cannot tell how task "${id}" ended as its job was taken over, ended and forgotten`,
  )
  return { status: 'failed', error, origin: refOf(task), attempts: 0, peer: null }
}

function failStarved(ctx: StepContext, lane: ReadyLane): void {
  if (!lane.isStarving) return
  for (let task = lane.queue.shift(); task !== undefined; task = lane.queue.shift()) {
    if (task.status !== 'ready') continue
    if (task.count > 1) {
      for (const item of dissolve(task)) lane.queue.push(item)
      continue
    }
    const kinds = [...new Set([...ctx.state.processors.values()].map((processor) => processor.record.kind))]
    const there = kinds.length === 0 ? 'none' : kinds.join(', ')
    const text = `Cannot run task "${taskIdOf(refOf(task))}" as no processor is in its scope ${scopeKey(lane.scope)}: kinds in the room are ${there}; widen the scope or add a peer`
    makeEnded(ctx, task, {
      status: 'failed',
      error: errorRecord('E_NO_PROCESSOR', text),
      origin: refOf(task),
      attempts: 0,
      peer: null,
    })
  }
  lane.isStarving = false
}

function failOrphans(ctx: StepContext, id: JobId): void {
  const orphans = ctx.state.orphans.get(id)
  ctx.state.orphans.delete(id)
  for (const { no, dependent } of orphans ?? []) {
    if (dependent.status !== 'waiting') continue
    const text = `Cannot run task "${taskIdOf(refOf(dependent))}" as nobody knows its input "${taskIdOf({ job: id, no })}"`
    makeEnded(ctx, dependent, {
      status: 'failed',
      error: errorRecord('E_NO_DEP', text),
      origin: refOf(dependent),
      attempts: 0,
      peer: null,
    })
  }
}

/** Asks after everything that should have been answered by now, so that no lost message is final. */
function audit(ctx: StepContext): void {
  const { state } = ctx
  auditAssigned(ctx)
  for (const job of state.jobs.values()) if (job.isMine && job.adoptPending.size > 0) askToAdopt(ctx, job)
  auditExecutor(ctx)
  auditKept(ctx)
  auditChunks(ctx)
  seekTrackers(ctx)
  askForProfiles(ctx)
  askForCancels(ctx)
  auditWatches(ctx)
}

function auditAssigned(ctx: StepContext): void {
  const { state } = ctx
  const counts = new Map<PeerId, number>()
  for (const processor of state.processors.values()) {
    const peer = processor.peer.id
    processor.isRevoking = false
    if (peer === state.self) continue
    for (const task of processor.assigned) {
      task.isRevoking = false
      const count = counts.get(peer) ?? 0
      if (task.assignedAt > state.now - state.config.auditMs || count >= auditBatchMax) continue
      counts.set(peer, count + 1)
      const ref: AttemptRef = { no: task.spec.no, attempt: task.attempt }
      ctx.attempt('audit', peer, task.job.id, task.job.claim.epoch, ref)
    }
  }
}

/** A result of a job that nobody owns any more, as it has ended, is asked for: somebody has to know its copies. */
function seekTrackers(ctx: StepContext): void {
  const { state } = ctx
  for (const { payload } of state.wishes) {
    const job = payload.task === null ? undefined : state.jobs.get(payload.task.job)
    if (job !== undefined && isOver(job)) planTakeover(ctx, job, 0)
  }
}

/** Keeps the audit going while anything is open between this peer and others. */
export function armAudit(state: SchedulerState): void {
  if (state.isAuditArmed || !hasOpenBusiness(state)) return
  state.isAuditArmed = true
  state.timers.arm(state.now + state.config.auditMs, { type: 'audit' })
}

function hasOpenBusiness(state: SchedulerState): boolean {
  if (state.hasHeldBack || state.wishes.size > 0) return true
  if (state.peers.size < 2) return false
  if (state.kept.size > 0 || state.stored.size > 0 || state.releases.size > 0) return true
  if (state.foreignWatches.size > 0 || state.cancels.length > 0 || state.executor.submitting.size > 0)
    return true
  for (const processor of state.processors.values()) {
    if (processor.peer.id !== state.self && processor.assigned.size > 0) return true
  }
  for (const peer of state.peers.values()) if (!peer.hasProfile) return true
  for (const job of state.executor.jobs.values()) if (job.held.size > 0) return true
  for (const job of state.jobs.values()) if (job.isMine && job.adoptPending.size > 0) return true
  return false
}
