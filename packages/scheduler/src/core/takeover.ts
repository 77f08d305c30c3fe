import { isNewerClaim } from '../model/claim.ts'
import type { JobId, PeerId } from '../model/ids.ts'
import { rankSuccessors } from '../policy/own.ts'
import { forgetRemakes, registerAnew } from './chunks.ts'
import type { StepContext } from './context.ts'
import { endJobIfComplete } from './ended.ts'
import { firstNumberOf, resolveNeeds } from './jobs.ts'
import { isFinal, type JobState, type SchedulerState, taskAt, tasksOf } from './state.ts'
import { addOpenChildren, makeWaiting } from './transitions.ts'

/**
 * Plans the takeover of a job whose owner is not here. The first in rendezvous order claims at once,
 * the others one step later each, so that one claim is the rule and none is impossible.
 */
export function planTakeover(ctx: StepContext, job: JobState, delayMs: number): void {
  const { state } = ctx
  if (state.role !== 'member' || !needsOwner(state, job) || job.isMine || isOwnerHere(state, job)) return
  const rank = job.claim.peer === state.self ? 0 : rankOf(state, job)
  const at = state.now + delayMs + rank * state.config.takeoverStepMs
  state.timers.arm(at, { type: 'takeover', job: job.id, epoch: job.claim.epoch })
}

/** The place of this peer among those who may claim the job. Who came just now claims nothing yet (CL8). */
function rankOf(state: SchedulerState, job: JobState): number {
  const knownBefore = state.now - state.config.takeoverStepMs
  const older: PeerId[] = []
  const newer: PeerId[] = []
  for (const { id, role, isSuspected, joinedAt } of state.peers.values()) {
    if (role !== 'member' || isSuspected) continue
    if (id === state.self || joinedAt <= knownBefore) older.push(id)
    else newer.push(id)
  }
  const ranks = [...rankSuccessors(job.id, older), ...rankSuccessors(job.id, newer)]
  return Math.max(0, ranks.indexOf(state.self))
}

/** How long the owner that a document names gets to show up: an earlier start of this peer never will. */
export function unseenMs(state: SchedulerState, job: JobState): number {
  return job.claim.peer === state.self ? state.config.takeoverStepMs : state.config.ownerUnseenMs
}

/**
 * Somebody ended the job, and it did so rightly: a successor that was cut off from the submitter may end a
 * job before it has heard of all its tasks. What bodies spawned matters to those bodies alone.
 */
export function isOver(job: JobState): boolean {
  return job.isEnded && job.tasks.every((task) => task === undefined || task.outcome !== null)
}

/** There is something to be done for the job: tasks to be ended, or a chunk to be found that this peer asks for. */
function needsOwner(state: SchedulerState, job: JobState): boolean {
  return !isOver(job) || [...state.wishes].some(({ payload }) => payload.task?.job === job.id)
}

/** A claim of an earlier start of this peer is nobody's any more: the others take this start for its owner. */
function isOwnerHere(state: SchedulerState, job: JobState): boolean {
  return !job.isOrphaned && job.claim.peer !== state.self && state.peers.has(job.claim.peer)
}

/** The plan's time has come: claim, unless somebody did or the owner is back. */
export function onTakeoverDue(ctx: StepContext, id: JobId, epoch: number): void {
  const job = ctx.state.jobs.get(id)
  if (job === undefined || !needsOwner(ctx.state, job) || job.isMine || job.claim.epoch !== epoch) return
  if (isOwnerHere(ctx.state, job)) return
  const newUntil = newUntilOf(ctx.state)
  if (ctx.state.now < newUntil) {
    const at = Math.min(newUntil, ctx.state.now + ctx.state.config.takeoverStepMs)
    ctx.state.timers.arm(at, { type: 'takeover', job: id, epoch })
    return
  }
  if (isInDoubt(ctx.state)) {
    const at = Math.max(
      ctx.state.doubtUntil,
      ctx.state.now + (isCutOff(ctx.state) ? ctx.state.config.isolatedMs : 0),
    )
    ctx.state.timers.arm(at, { type: 'takeover', job: id, epoch })
    return
  }
  claim(ctx, job, Math.max(2, epoch + 1))
}

/** What this peer kept from an earlier start may be long out of date: the others, if there are any, tell soon. */
function newUntilOf({ startedAt, metAt, config }: SchedulerState): number {
  if (startedAt === null) return 0
  const knowsAt = metAt === null ? Number.POSITIVE_INFINITY : metAt + config.takeoverStepMs
  return Math.min(startedAt + config.isolatedMs, knowsAt)
}

/** This peer stood still, was given up, or hears nobody: others may own by now what it takes for its own. */
export function isInDoubt(state: SchedulerState): boolean {
  return isCutOff(state) || (state.peers.size > 1 && state.now < state.doubtUntil)
}

/**
 * This member lost several others just now and none is left: they are more likely well than all dead. Those who
 * are silent count as lost, for they are given up one after the other.
 */
function isCutOff(state: SchedulerState): boolean {
  if (state.peers.size === 1 && state.memberLossesAt.length === 0) return false
  let silent = 0
  for (const peer of state.peers.values()) {
    if (peer.role !== 'member' || peer.id === state.self) continue
    if (!peer.isSuspected) return false
    silent++
  }
  return silent + state.memberLossesAt.filter((at) => at > state.now - state.config.isolatedMs).length > 1
}

/**
 * An executing peer obeys a higher epoch whose owner nobody here has heard of (it died before its
 * claim spread): the owner outbids it after a while, or that peer would refuse its work for ever.
 */
export function onStale(ctx: StepContext, id: JobId, epoch: number): void {
  const job = ctx.state.jobs.get(id)
  if (job?.isMine !== true || epoch < job.claim.epoch) return
  ctx.state.timers.arm(ctx.state.now + ctx.state.config.ownerUnseenMs, { type: 'reclaim', job: id, epoch })
}

export function onReclaimDue(ctx: StepContext, id: JobId, epoch: number): void {
  const job = ctx.state.jobs.get(id)
  if (job?.isMine !== true || job.isEnded || job.claim.epoch > epoch) return
  standDown(ctx, job)
  claim(ctx, job, epoch + 1)
}

function claim(ctx: StepContext, job: JobState, epoch: number): void {
  const { state } = ctx
  job.claim = { peer: state.self, epoch }
  job.isMine = true
  job.isOrphaned = false
  job.isEnded = false
  job.isAdopting = true
  job.nextAttempt = firstNumberOf(job.claim)
  job.nextNested = firstNumberOf(job.claim)
  job.adoptPending = new Set(state.peers.keys())
  state.story.add(state.now, job.id, 'claimed at epoch', epoch)
  ctx.write({ type: 'claim', by: state.self, job: job.id, epoch })
  ctx.emit({ type: 'notify', notice: { type: 'owner-changed', job: job.id, owner: state.self, epoch } })
  askToAdopt(ctx, job)
  state.timers.arm(state.now + state.config.adoptGraceMs, { type: 'adopt-grace', job: job.id, epoch })
}

/** Asks those who have not answered yet what they run or hold. */
export function askToAdopt(ctx: StepContext, job: JobState): void {
  for (const peer of job.adoptPending) {
    if (!ctx.state.peers.has(peer)) job.adoptPending.delete(peer)
    else ctx.send(peer, { type: 'adopt', job: job.id, epoch: job.claim.epoch })
  }
}

/** The grace is over: what nobody runs or holds is placed again. */
export function onAdoptGraceOver(ctx: StepContext, id: JobId, epoch: number): void {
  const job = ctx.state.jobs.get(id)
  if (job === undefined || !job.isMine || !job.isAdopting || job.claim.epoch !== epoch) return
  job.isAdopting = false
  for (const id of job.adoptPending) {
    const peer = ctx.state.peers.get(id)
    if (peer === undefined) continue
    peer.isMute = true
    ctx.state.processorsVersion++
  }
  countOpenChildren(ctx, job)
  for (const task of tasksOf(job)) if (task.status === 'waiting') resolveNeeds(ctx, task)
  endJobIfComplete(ctx, job)
  ctx.isDirty = true
}

/** Which of the adopted attempts wait for tasks that they spawned under the owner before. */
function countOpenChildren(ctx: StepContext, job: JobState): void {
  for (const child of job.nested.values()) {
    const parentRef = child.spec.parent
    if (parentRef === null || isFinal(child.status)) continue
    const parent = taskAt(job, parentRef.no)
    if (parent?.attempt === parentRef.attempt) addOpenChildren(ctx, parent, 1)
  }
}

/** Somebody claims a job. The highest (epoch, peer) owns it; an owner that is outranked stops at once. */
export function applyClaim(ctx: StepContext, job: JobState, peer: PeerId, epoch: number): void {
  if (!isNewerClaim({ peer, epoch }, job.claim)) return
  const { state } = ctx
  const wasMine = job.isMine
  job.claim = { peer, epoch }
  // A claim of this start is never heard from others: one by this peer is of an earlier start.
  job.isMine = false
  job.isOrphaned = false
  job.isAdopting = false
  state.story.add(state.now, job.id, `owned by ${peer} at epoch`, epoch)
  ctx.emit({ type: 'notify', notice: { type: 'owner-changed', job: job.id, owner: peer, epoch } })
  if (wasMine) standDown(ctx, job)
  obey(state, job)
  registerAnew(ctx, job)
  planTakeover(ctx, job, unseenMs(state, job))
}

/** What runs here for the job is the new owner's: results and requests of bodies go there from now on. */
function obey(state: SchedulerState, job: JobState): void {
  const obeyed = state.executor.jobs.get(job.id)
  if (obeyed === undefined || !isNewerClaim(job.claim, { peer: obeyed.owner, epoch: obeyed.epoch })) return
  obeyed.owner = job.claim.peer
  obeyed.epoch = job.claim.epoch
}

/** Forgets all placement of a job that a newer owner has: its attempts go on and are adopted there. */
function standDown(ctx: StepContext, job: JobState): void {
  for (const task of [...tasksOf(job)]) {
    if (!isFinal(task.status) && task.status !== 'waiting') makeWaiting(ctx, task, 'newer owner')
  }
  forgetRemakes(ctx, job)
}
