import { compareIds, type PeerId } from '../model/ids.ts'
import type { MessageOf } from '../model/message.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import type { PeerProfile } from '../model/records.ts'
import { loseAttempt } from './attempts.ts'
import { loseChunksOf } from './chunks.ts'
import type { StepContext } from './context.ts'
import type { EventOf } from './events.ts'
import { setExecutorProcessors } from './executor.ts'
import { loseKeeper } from './holder.ts'
import { requeue } from './jobs.ts'
import * as services from './services/index.ts'
import type { PeerState, ProcessorState } from './state.ts'
import { noteDeath } from './suspects.ts'
import { planTakeover, unseenMs } from './takeover.ts'

export function onPeerJoined(ctx: StepContext, event: EventOf<'peer-joined'>): void {
  const { state } = ctx
  const { peer: id, epoch, role } = event
  const known = state.peers.get(id)
  if (known !== undefined && known.epoch === epoch) return
  if (known !== undefined) losePeer(ctx, id, 'dead')
  const profile = { name: '', processors: [] }
  state.peers.set(id, {
    id,
    epoch,
    role,
    isSuspected: false,
    isMute: false,
    joinedAt: state.now,
    hasProfile: false,
    profile,
    rttMs: 0,
    bytesPerMs: 1000,
    tasksDone: 0,
  })
  state.story.add(state.now, id, 'joined at epoch', epoch)
  if (role === 'member') state.metAt ??= state.now
  ctx.send(id, { type: 'profile', profile: myProfile(ctx), wantsYours: true })
  if (role === 'member') services.onPeerMet(ctx, id)
  // A successor that asked around before this peer was seen asks it, too: also after the job's end, as
  // what still runs there has to be stopped.
  for (const job of state.jobs.values()) {
    if (job.isMine && job.claim.epoch > 1) {
      job.adoptPending.add(id)
      ctx.send(id, { type: 'adopt', job: job.id, epoch: job.claim.epoch })
    }
  }
}

function myProfile(ctx: StepContext): PeerProfile {
  return (ctx.state.peers.get(ctx.state.self) as PeerState).profile
}

export function onPeerLeft(ctx: StepContext, event: EventOf<'peer-left'>): void {
  if (event.peer === ctx.state.self) return
  losePeer(ctx, event.peer, event.cause)
}

/** Takes back what a peer had, and plans who follows it as owner. */
function losePeer(ctx: StepContext, id: PeerId, cause: EventOf<'peer-left'>['cause']): void {
  const { state } = ctx
  const peer = state.peers.get(id)
  if (peer === undefined) return
  state.peers.delete(id)
  state.story.add(state.now, id, cause)
  if (peer.role === 'member' && cause !== 'fenced') {
    state.memberLossesAt = [
      ...state.memberLossesAt.filter((at) => at > state.now - state.config.isolatedMs),
      state.now,
    ]
  }
  if (cause === 'fenced') state.doubtUntil = Math.max(state.doubtUntil, state.now + state.config.doubtMs)
  if (cause === 'dead') noteDeath(state)
  services.onPeerLost(ctx, id, cause)
  for (const processor of [...state.processors.values()]) {
    if (processor.peer === peer) loseProcessor(ctx, processor, cause === 'dead' ? 'dead' : 'left')
  }
  loseKeeper(ctx, id)
  loseChunksOf(ctx, id)
  for (const job of state.jobs.values()) {
    job.adoptPending.delete(id)
    if (job.claim.peer !== id) continue
    // An owner that gave this peer up is well: it gets the time to be met again.
    job.isOrphaned = cause !== 'fenced'
    planTakeover(ctx, job, job.isOrphaned ? 0 : unseenMs(state, job))
  }
}

/** The oldest task given to a processor is taken to have run when it died; the rest had not started. */
function loseProcessor(ctx: StepContext, processor: ProcessorState, cause: 'left' | 'dead'): void {
  const { state } = ctx
  state.processors.delete(processor.record.id)
  state.processorsVersion++
  ctx.isDirty = true
  const [running, ...waiting] = [...processor.assigned]
  // In front of the queue the last one put back is the first one out.
  for (const task of waiting.reverse()) requeue(ctx, task, 'peer gone')
  if (running === undefined) return
  if (cause === 'dead') loseAttempt(ctx, running, processor)
  else loseAttempt(ctx, running, null)
}

/** A peer lends one processor less: what started there ends there, and the peer itself hands back the rest. */
function closeProcessor(ctx: StepContext, processor: ProcessorState): void {
  if (processor.assigned.size === 0) ctx.state.processors.delete(processor.record.id)
  else processor.isClosing = true
}

export function onSuspicion(ctx: StepContext, id: PeerId, isSuspected: boolean): void {
  const peer = ctx.state.peers.get(id)
  if (peer === undefined || peer.isSuspected === isSuspected) return
  peer.isSuspected = isSuspected
  ctx.state.story.add(ctx.state.now, id, isSuspected ? 'suspected' : 'trusted')
  ctx.state.processorsVersion++
  ctx.isDirty = true
}

export function onLinkMeasured(ctx: StepContext, event: EventOf<'link-measured'>): void {
  const peer = ctx.state.peers.get(event.peer)
  if (peer === undefined) return
  peer.rttMs = event.rttMs
  peer.bytesPerMs = event.bytesPerMs
}

/** What this peer lends changed: everybody is told, members in their documents, too. */
export function onProcessorsChanged(ctx: StepContext, processors: readonly ProcessorRecord[]): void {
  const { state } = ctx
  const profile = {
    name: myProfile(ctx).name,
    processors: [...processors].sort((a, b) => compareIds(a.id, b.id)),
  }
  setExecutorProcessors(
    ctx,
    processors.map((processor) => processor.id),
  )
  setProfile(ctx, state.self, profile)
  ctx.write({ type: 'profile', by: state.self, profile })
  for (const peer of state.peers.values())
    if (peer.id !== state.self) ctx.send(peer.id, { type: 'profile', profile, wantsYours: !peer.hasProfile })
}

/** A peer says what it lends. Without that nothing can be placed there, so whoever lacks it asks. */
export function onProfile(ctx: StepContext, from: PeerId, message: MessageOf<'profile'>): void {
  setProfile(ctx, from, message.profile)
  const peer = ctx.state.peers.get(from)
  if (peer !== undefined && message.wantsYours) {
    ctx.send(from, { type: 'profile', profile: myProfile(ctx), wantsYours: false })
  }
}

/** Asks every peer that has not said what it lends. */
export function askForProfiles(ctx: StepContext): void {
  for (const peer of ctx.state.peers.values()) {
    if (!peer.hasProfile) ctx.send(peer.id, { type: 'profile', profile: myProfile(ctx), wantsYours: true })
  }
}

/** Brings the known processors of a peer in line with what it says of itself. */
export function setProfile(ctx: StepContext, id: PeerId, profile: PeerProfile): void {
  const { state } = ctx
  const peer = state.peers.get(id)
  if (peer === undefined) return
  peer.profile = profile
  peer.hasProfile = true
  const wanted = new Map(profile.processors.map((record) => [record.id, record]))
  for (const processor of [...state.processors.values()]) {
    if (processor.peer !== peer || wanted.has(processor.record.id)) continue
    closeProcessor(ctx, processor)
  }
  for (const record of wanted.values()) {
    const known = state.processors.get(record.id)
    if (known === undefined) {
      state.processors.set(record.id, {
        record,
        peer,
        assigned: new Set(),
        waiting: 0,
        queuedMs: 0,
        isRevoking: false,
        guest: null,
        isClosing: false,
      })
      continue
    }
    known.isClosing = false
    if (known.record.score !== record.score || known.record.isDefault !== record.isDefault) {
      state.processors.set(record.id, replaceRecord(known, record))
    }
  }
  state.processorsVersion++
  ctx.isDirty = true
}

/** The same processor with a new description; the tasks given to it move along. */
function replaceRecord(known: ProcessorState, record: ProcessorRecord): ProcessorState {
  const processor: ProcessorState = { ...known, record }
  for (const task of processor.assigned) task.processor = processor
  return processor
}
