import type { PeerId } from '../../model/ids.ts'
import type { ServiceId, ServiceMessage, ServiceNews, ServiceRequest } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { onAccept, onAccepted, onCopied, onPrepare, onPromise, onVoteRefused, startBid } from './bid.ts'
import { addCall, addOrder, flushCalls, onOrderFailed, onReplies } from './caller.ts'
import { learnClaim, learnEnd, onUnknown } from './claims.ts'
import { appendSnapshot, onAppended, onAppendRefused } from './copies.ts'
import { onDied, undo } from './deaths.ts'
import { flushHosted, onCall, onRan, releasable, takeSnapshot } from './host.ts'
import { onAppend, onInstall } from './keeper.ts'
import { cancelCreation, create, drop, forgetAsked, found, onName, onNameHolder } from './names.ts'
import { armTick, tellClaim, touch } from './say.ts'
import { type Hosted, type ServiceState, serviceOf } from './state.ts'
import * as watch from './watch.ts'

export { onServiceRecord } from './claims.ts'
export { leave as onLeaving, onPeerMet, onTick } from './watch.ts'

/** Requests of the local user. */
export function onAsked(ctx: StepContext, requests: readonly ServiceRequest[]): void {
  for (const { request, service: id, action } of requests) {
    if (action.type === 'create') {
      create(ctx, request, action.spec)
      continue
    }
    if (action.type === 'delete' && cancelCreation(ctx, request, id)) continue
    const service = serviceOf(ctx.state.services, id)
    if (action.type === 'call') addCall(ctx, service, request, action)
    else addOrder(ctx, service, request, action)
  }
}

export function onPeerLost(
  ctx: StepContext,
  peer: PeerId,
  cause: Parameters<typeof watch.onPeerLost>[2],
): void {
  forgetAsked(ctx, peer)
  watch.onPeerLost(ctx, peer, cause)
}

/** What the port says of the instances here. News of instances that were closed is late and ignored. */
export function onNews(ctx: StepContext, news: readonly ServiceNews[]): void {
  for (const one of news) {
    const service = ctx.state.services.byInstance.get(one.instance)
    const hosted = service?.hosted
    if (service === undefined || hosted?.instance !== one.instance) continue
    switch (one.type) {
      case 'opened':
        onOpened(ctx, service, hosted, one.error)
        break
      case 'ran':
        onRan(ctx, service, hosted, one.ended)
        break
      case 'snapshot':
        onSnapshot(ctx, service, hosted, one)
        break
      case 'died':
        if (!onDied(ctx, service, hosted, one.error)) startBid(ctx, service, 'crashing')
    }
  }
}

function onOpened(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  error: Extract<ServiceNews, { type: 'opened' }>['error'],
): void {
  const creation = ctx.state.services.creations.get(service.id)
  if (error !== null) {
    if (creation !== undefined) drop(ctx, creation.request, creation.spec, error)
    else if (!onDied(ctx, service, hosted, error)) startBid(ctx, service, 'crashing')
    return
  }
  hosted.isOpen = true
  hosted.quietSince = ctx.state.now
  touch(ctx, service)
  if (creation !== undefined) found(ctx, service)
}

function onSnapshot(
  ctx: StepContext,
  service: ServiceState,
  hosted: Hosted,
  { seq, state, error }: Extract<ServiceNews, { type: 'snapshot' }>,
): void {
  if (seq !== hosted.snapshotAt) return
  hosted.snapshotAt = null
  touch(ctx, service)
  if (error !== null) {
    // A journal goes without; otherwise the snapshot is all that a follower would have.
    if (hosted.spec.durability === 'snapshot') undo(ctx, service, hosted, error)
    return
  }
  if (hosted.ran !== seq) return
  takeSnapshot(hosted, seq, state, ctx.state.now)
  appendSnapshot(ctx, service, hosted)
}

export function onMessage(ctx: StepContext, from: PeerId, id: ServiceId, message: ServiceMessage): void {
  const isMember = ctx.state.peers.get(from)?.role === 'member'
  if (!isMember && message.type !== 'call' && message.type !== 'unknown') return
  const service = serviceOf(ctx.state.services, id)
  switch (message.type) {
    case 'call':
      onCall(ctx, from, service, message)
      return
    case 'replies':
      onReplies(ctx, service, message)
      return
    case 'order':
      watch.onOrder(ctx, from, service, message)
      return
    case 'order-failed':
      onOrderFailed(ctx, service, message)
      return
    case 'install':
      onInstall(ctx, from, service, message)
      return
    case 'append':
      onAppend(ctx, from, service, message)
      return
    case 'appended':
      if (onAppended(ctx, from, service, message)) armTick(ctx.state, service, ctx.state.now)
      onCopied(ctx, service)
      return
    case 'append-refused':
      onAppendRefused(ctx, from, service, message)
      armTick(ctx.state, service, ctx.state.now)
      return
    case 'name':
      onName(ctx, from, service, message)
      return
    case 'name-holder':
      onNameHolder(ctx, from, service, message)
      return
    default:
      onVoteMessage(ctx, from, service, message)
  }
}

function onVoteMessage(ctx: StepContext, from: PeerId, service: ServiceState, message: ServiceMessage): void {
  switch (message.type) {
    case 'prepare':
      onPrepare(ctx, from, service, message)
      return
    case 'promise':
      onPromise(ctx, from, service, message)
      return
    case 'accept':
      onAccept(ctx, from, service, message)
      return
    case 'accepted':
      onAccepted(ctx, from, service, message)
      return
    case 'vote-refused':
      onVoteRefused(ctx, from, service, message)
      return
    case 'hand-over':
      watch.onHandOver(ctx, from, service, message)
      return
    case 'claimed': {
      learnClaim(ctx, service, message.claim)
      if (service.ended !== null || (service.claim?.epoch ?? 0) > message.claim.epoch)
        tellClaim(ctx, from, service)
      return
    }
    case 'ended':
      learnEnd(ctx, service, message.epoch, message.reason)
      return
    case 'unknown':
      onUnknown(ctx, from, service)
  }
}

/** Sends what this step gathered; `false` when there is nothing. */
export function flush(ctx: StepContext): boolean {
  const { services } = ctx.state
  if (services.dirty.size === 0 && services.due.size === 0) return false
  const due = [...services.due]
  services.due.clear()
  for (const service of due) watch.tick(ctx, service)
  const dirty = [...services.dirty]
  services.dirty.clear()
  for (const service of dirty) {
    flushCalls(ctx, service)
    const { hosted } = service
    if (hosted === null) continue
    flushHosted(ctx, service, hosted)
    const creation = services.creations.get(service.id)
    if (creation !== undefined && releasable(ctx.state, service, hosted) >= 0) {
      services.creations.delete(service.id)
      ctx.emit({
        type: 'answer-requests',
        answers: [{ request: creation.request, outcome: { status: 'ok' } }],
      })
    }
    if (hosted.frozenUntil !== null) watch.handOver(ctx, service, hosted)
  }
  watch.endLeaving(ctx)
  return true
}
