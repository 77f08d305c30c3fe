import { assert } from '../model/errors.ts'
import type { PeerId } from '../model/ids.ts'
import type { Message } from '../model/message.ts'
import * as farewell from './chunk-farewell.ts'
import * as chunks from './chunks.ts'
import { StepContext } from './context.ts'
import type { Effect } from './effects.ts'
import { settleEnded } from './ended.ts'
import type { Event, EventOf } from './events.ts'
import * as executor from './executor.ts'
import * as orders from './executor-orders.ts'
import { onFree } from './holder.ts'
import { resolveNeeds } from './jobs.ts'
import { onHoldings, onResults, onRevoked } from './on-owner.ts'
import * as peers from './on-peer.ts'
import { onRecords } from './on-records.ts'
import { armAudit, onTimer } from './on-timer.ts'
import * as user from './on-user.ts'
import { schedule } from './schedule.ts'
import * as services from './services/index.ts'
import type { SchedulerState } from './state.ts'
import { onStale } from './takeover.ts'
import * as watches from './watches.ts'

/** More rounds than any step needs: an endless exchange of a peer with itself is a bug. */
const roundsMax = 100_000

/** Takes one event through all parts of the scheduler, after {@link noteTime}. */
export function stepFully(state: SchedulerState, event: Event): Effect[] {
  const ctx = new StepContext(state)
  for (
    let action = state.timers.takeDue(state.now);
    action !== null;
    action = state.timers.takeDue(state.now)
  ) {
    onTimer(ctx, action)
  }
  onEvent(ctx, event)
  settle(ctx)
  armAudit(state)
  return ctx.takeEffects()
}

/** Sets the time of a step, and notices when this peer itself stood still. */
export function noteTime(state: SchedulerState, at: number): void {
  state.now = Math.max(state.now, at)
  state.startedAt ??= state.now
  if (state.now - state.timers.nextAt > state.config.stallMs)
    state.doubtUntil = state.now + state.config.doubtMs
}

/** Runs until nothing is left to decide: ends reach dependents, ready tasks get places, own messages arrive. */
function settle(ctx: StepContext): void {
  for (let round = 0; ; round++) {
    assert(round < roundsMax, 'Cannot settle a step: it keeps making work for itself')
    if (ctx.ended.length > 0) settleEnded(ctx)
    for (let again = ctx.begun.shift(); again !== undefined; again = ctx.begun.shift()) {
      if (again.status === 'waiting') resolveNeeds(ctx, again)
    }
    if (ctx.isDirty) {
      ctx.isDirty = false
      schedule(ctx)
    }
    const message = ctx.takeLoopback()
    if (message !== undefined) onMessage(ctx, ctx.state.self, message)
    else if (!ctx.isDirty && ctx.ended.length === 0 && ctx.begun.length === 0 && !services.flush(ctx)) return
  }
}

function onEvent(ctx: StepContext, event: Event): void {
  switch (event.type) {
    case 'tasks-submitted':
      user.onTasksSubmitted(ctx, event)
      return
    case 'range-submitted':
      user.onRangeSubmitted(ctx, event)
      return
    case 'job-sealed':
      user.onJobSealed(ctx, event)
      return
    case 'tasks-cancelled':
      user.onTasksCancelled(ctx, event)
      return
    case 'tasks-watched':
      watches.onTasksWatched(ctx, event)
      return
    case 'children-spawned':
      user.onChildrenSpawned(ctx, event)
      return
    case 'body-yielded':
      executor.onYield(ctx, event.callId, true)
      return
    case 'body-resumed':
      executor.onYield(ctx, event.callId, false)
      return
    case 'calls-ended':
      executor.onCallsEnded(ctx, event.ended)
      return
    case 'processors-changed':
      peers.onProcessorsChanged(ctx, event.processors)
      return
    case 'message-received':
      // From a peer that is not (any more) in the view: it has to say hello first.
      if (ctx.state.peers.has(event.from)) onMessage(ctx, event.from, event.message)
      return
    case 'peer-joined':
      peers.onPeerJoined(ctx, event)
      return
    case 'link-measured':
      peers.onLinkMeasured(ctx, event)
      return
    case 'peer-suspected':
      peers.onSuspicion(ctx, event.peer, true)
      return
    case 'peer-trusted':
      peers.onSuspicion(ctx, event.peer, false)
      return
    case 'peer-left':
      peers.onPeerLeft(ctx, event)
      return
    case 'records-arrived':
      onRecords(ctx, event.records)
      return
    case 'services-asked':
      services.onAsked(ctx, event.requests)
      return
    case 'services-told':
      services.onNews(ctx, event.news)
      return
    case 'services-leaving':
      services.onLeaving(ctx)
      return
    case 'time-passed':
      return
    default:
      onChunkEvent(ctx, event)
  }
}

function onChunkEvent(
  ctx: StepContext,
  event: EventOf<
    'chunks-gathered' | 'chunk-opened' | 'chunk-released' | 'chunk-asked' | 'chunk-stored' | 'chunks-leaving'
  >,
): void {
  switch (event.type) {
    case 'chunks-gathered':
      executor.onChunksGathered(ctx, event.callId, event.error)
      return
    case 'chunk-opened':
      chunks.onChunkOpened(ctx, event.chunk)
      return
    case 'chunk-released':
      chunks.onChunkReleased(ctx, event.chunk)
      return
    case 'chunk-asked':
      chunks.onChunkAsked(ctx, event.chunk, event.isAgain)
      return
    case 'chunk-stored':
      chunks.onChunkStored(ctx, event.chunk, event.isHeld)
      if (event.isHeld) farewell.onTaken(ctx, event.chunk)
      return
    case 'chunks-leaving':
      farewell.onChunksLeaving(ctx)
  }
}

function onMessage(ctx: StepContext, from: PeerId, message: Message): void {
  switch (message.type) {
    case 'profile':
      peers.onProfile(ctx, from, message)
      return
    case 'assign':
      executor.onAssign(ctx, from, message)
      return
    case 'revoke':
      orders.onRevoke(ctx, from, message)
      return
    case 'abort':
      orders.onAbort(ctx, from, message)
      return
    case 'commit':
      orders.onCommit(ctx, message)
      return
    case 'adopt':
      orders.onAdopt(ctx, from, message)
      return
    case 'audit':
      orders.onAudit(ctx, from, message)
      return
    case 'results':
      onResults(ctx, from, message)
      return
    case 'revoked':
      onRevoked(ctx, from, message)
      return
    case 'holdings':
      onHoldings(ctx, from, message)
      return
    case 'stale':
      onStale(ctx, message.job, message.epoch)
      return
    case 'submit':
      user.onSubmit(ctx, from, message)
      return
    case 'submitted':
      user.onSubmitted(ctx, message)
      return
    case 'watch':
      watches.onWatch(ctx, from, message)
      return
    case 'outcomes':
      watches.onOutcomes(ctx, message)
      return
    case 'cancel':
      user.onCancel(ctx, message)
      return
    case 'service':
      services.onMessage(ctx, from, message.service, message.body)
      return
    case 'holds':
      chunks.onHolds(ctx, from, message)
      return
    case 'free':
      onFree(ctx, from, message)
      return
    case 'want':
      if (message.wish === 'take') farewell.onTake(ctx, from, message)
      else chunks.onWant(ctx, from, message)
      return
    case 'located':
      if (message.wish === 'take') farewell.onOfferTaken(ctx, from, message)
      else chunks.onLocated(ctx, from, message)
  }
}
