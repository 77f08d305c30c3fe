import { errorRecord } from '../../model/errors.ts'
import type { PeerId } from '../../model/ids.ts'
import type { ServiceClaim, ServiceId, ServiceMessageOf } from '../../model/service.ts'
import { rankSuccessors } from '../../policy/own.ts'
import type { StepContext } from '../context.ts'
import type { EventOf } from '../events.ts'
import type { SchedulerState } from '../state.ts'
import { lendBallot, nextRound, startBid } from './bid.ts'
import { auditCalls } from './caller.ts'
import { learnClaim, learnEnd, writeEnd } from './claims.ts'
import { install, keepLeft, leftCopy, resendCopies } from './copies.ts'
import { createHosted, tellLate } from './host.ts'
import { ask } from './names.ts'
import { armTick, say, tellClaim, touch } from './say.ts'
import { type Hosted, isHostHere, isThisStart, type ServiceState } from './state.ts'
import { candidates, followerOf, membersInView, voterCount } from './voters.ts'

/** Looks at one service: what is late, who is missing. Whatever it finds, doing it twice does no harm. */
export function onTick(ctx: StepContext, id: ServiceId): void {
  const service = ctx.state.services.services.get(id)
  if (service === undefined || ctx.state.now < service.tickAt) return
  service.tickAt = Number.POSITIVE_INFINITY
  tick(ctx, service)
}

export function tick(ctx: StepContext, service: ServiceState): void {
  const { now, services } = ctx.state
  const { bid } = service
  if (bid !== null) {
    if (now >= bid.retryAt) nextRound(ctx, service, bid)
    else armTick(ctx.state, service, bid.retryAt)
  }
  const creation = services.creations.get(service.id)
  if (creation !== undefined && creation.asked !== null) ask(ctx, creation)
  const { hosted } = service
  if (hosted !== null) resendCopies(ctx, service, hosted)
  if (hosted?.isActing === true) tickHost(ctx, service, hosted)
  else watchHost(ctx, service)
  auditCalls(ctx, service)
}

/* The host: who follows, who votes, and where it goes. */

export function tickHost(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { state } = ctx
  tellLate(ctx, service, hosted)
  if (hosted.frozenUntil !== null && state.now >= hosted.frozenUntil) giveUpMigration(ctx, service, hosted)
  if (hosted.frozenUntil !== null) handOver(ctx, service, hosted)
  else if (service.bid === null) renewIfNeeded(ctx, service, hosted)
}

/** Finds a follower where there is none, and voters for those that are gone; each change is a new claim. */
function renewIfNeeded(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { state } = ctx
  const claim = service.claim as ServiceClaim
  if (hosted.isDoubted) {
    // First of all: who takes it for ended keeps no copy and is no follower.
    startBid(ctx, service, null)
    return
  }
  if (hosted.spec.durability !== 'none') {
    const [best] = candidates(state, service)
    if (best !== undefined && !hosted.kept.has(best)) install(ctx, service, hosted, best)
    if (best !== undefined && (hosted.kept.get(best)?.acked ?? -1) < Math.max(0, hosted.released)) return
    if (
      followerOf(state, service) !== claim.follower ||
      hosted.kept.get(claim.follower ?? best ?? state.self)?.isPaused === true
    ) {
      startBid(ctx, service, null)
      return
    }
    if (hosted.migration !== null) migrate(ctx, service, hosted)
  }
  if (hosted.frozenUntil === null && areVotersStale(state, claim)) startBid(ctx, service, null)
}

function areVotersStale(state: SchedulerState, { voters }: ServiceClaim): boolean {
  const isStale = voters.some(({ peer, epoch }) => {
    const known = state.peers.get(peer)
    return known === undefined || known.epoch !== epoch
  })
  return isStale || voters.length < voterCount(membersInView(state).length)
}

export function onOrder(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { order }: ServiceMessageOf<'order'>,
): void {
  const { hosted, claim } = service
  const { state } = ctx
  if (hosted?.isActing !== true || claim === null || service.ended !== null) {
    tellClaim(ctx, from, service)
    return
  }
  if (order.type === 'delete') {
    startBid(ctx, service, 'deleted')
    return
  }
  if (order.to === state.self) {
    tellClaim(ctx, from, service)
    return
  }
  const peer = state.peers.get(order.to)
  const why =
    hosted.spec.durability === 'none'
      ? 'nothing of it can move without durability'
      : peer?.role !== 'member'
        ? 'only members in view host services'
        : null
  if (why !== null) {
    const error = errorRecord('E_MIGRATE', `Cannot move service "${service.id}" to ${order.to} as ${why}`)
    say(ctx, from, service, { type: 'order-failed', order, error })
    return
  }
  if (hosted.migration !== null) return
  hosted.migration = { to: order.to, asker: from, untilMs: state.now + 2 * state.config.handOverMs }
  armTick(ctx.state, service, state.now)
}

/** Its target has the copy and is the follower: nothing more is taken here. */
function migrate(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { migration } = hosted
  if (migration === null) return
  if (ctx.state.now >= migration.untilMs) {
    giveUpMigration(ctx, service, hosted)
    return
  }
  armTick(ctx.state, service, migration.untilMs)
  if (service.claim?.follower !== migration.to) return
  hosted.frozenUntil = ctx.state.now + ctx.state.config.handOverMs
  handOver(ctx, service, hosted)
}

/** Lets the follower take over once it has all that was taken here. */
export function handOver(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { claim } = service
  const { now, config, services } = ctx.state
  if (claim === null || claim.follower === null || service.bid !== null) return
  armTick(ctx.state, service, now + config.serviceRetryMs)
  const acked = hosted.kept.get(claim.follower)?.acked ?? -1
  if (hosted.ran < hosted.seq || acked < hosted.seq || hosted.released < hosted.seq) return
  if (hosted.handedOver?.epoch !== claim.epoch)
    hosted.handedOver = {
      epoch: claim.epoch,
      isFirst: lendBallot(service, claim),
      at: -config.serviceRetryMs,
      left: leftCopy(hosted, claim.follower),
    }
  const { handedOver } = hosted
  if (now - handedOver.at < config.serviceRetryMs) return
  handedOver.at = now
  if (handedOver.left.seq !== hosted.seq) handedOver.left = leftCopy(hosted, claim.follower)
  const { isFirst } = handedOver
  const { isLeaving } = services
  say(ctx, claim.follower, service, { type: 'hand-over', claim, isFirst, isLeaving, seq: hosted.seq })
}

function giveUpMigration(ctx: StepContext, service: ServiceState, hosted: Hosted): void {
  const { migration } = hosted
  hosted.frozenUntil = null
  hosted.migration = null
  hosted.turnedAway.clear()
  touch(ctx, service)
  if (migration === null) return
  const order = { type: 'migrate', to: migration.to } as const
  const text = `Cannot move service "${service.id}" to ${migration.to} as that peer did not take it over in time`
  say(ctx, migration.asker, service, { type: 'order-failed', order, error: errorRecord('E_MIGRATE', text) })
}

/** The host stopped: this peer, its follower, goes on at the next epoch. */
export function onHandOver(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { claim, isFirst, isLeaving, seq }: ServiceMessageOf<'hand-over'>,
): void {
  if (isLeaving) ctx.state.services.leaving.add(from)
  learnClaim(ctx, service, claim)
  if (service.claim?.epoch !== claim.epoch || from !== service.claim.host) tellClaim(ctx, from, service)
  else if (service.claim.follower === ctx.state.self) takeOver(ctx, service, { isFirst, isLeaving, seq })
}

/** This peer leaves: all that it hosts goes to where the copy is, or is copied first. */
export function leave(ctx: StepContext): void {
  const { state } = ctx
  state.services.isLeaving = true
  for (const service of state.services.services.values()) {
    const { hosted, claim } = service
    if (hosted?.isActing !== true || claim === null || hosted.spec.durability === 'none') continue
    const to = claim.follower ?? candidates(state, service)[0]
    if (to === undefined) continue
    const untilMs = state.now + state.config.handOverMs
    hosted.migration = { to, asker: state.self, untilMs }
    if (to === claim.follower) {
      hosted.frozenUntil = untilMs
      handOver(ctx, service, hosted)
    } else armTick(ctx.state, service, state.now)
  }
  endLeaving(ctx)
}

/** Says that this peer may go once nothing is left to hand over. */
export function endLeaving(ctx: StepContext): void {
  const { services } = ctx.state
  if (!services.isLeaving) return
  for (const { hosted, ended } of services.services.values())
    if (ended === null && hosted?.migration != null) return
  services.isLeaving = false
  ctx.emit({ type: 'services-left' })
}

/* The others: is the host there, and if not, who follows? */

function watchHost(ctx: StepContext, service: ServiceState): void {
  const { state } = ctx
  const { claim } = service
  if (claim === null || service.ended !== null || state.role !== 'member') return
  if (claim.host === state.self) {
    mournOwnStart(ctx, service, claim)
    return
  }
  if (service.hostGone === null && !state.peers.has(claim.host))
    service.hostGone = { cause: 'unseen', at: state.now }
  if (service.hostGone === null || service.bid !== null) return
  const { cause, at } = service.hostGone
  const patienceMs = cause === 'unseen' || cause === 'fenced' ? state.config.ownerUnseenMs : 0
  const dueAt = at + patienceMs + delayMs(state, service, claim)
  if (state.now < dueAt) armTick(ctx.state, service, dueAt)
  else if (canFollow(state, service, claim)) takeOver(ctx, service)
  else takeWithoutState(ctx, service, claim)
}

function canFollow({ self }: SchedulerState, { copies }: ServiceState, claim: ServiceClaim): boolean {
  return claim.follower === self && copies.has(claim.host)
}

/** The follower goes first; the others only where no state can be had any more, one after the other. */
function delayMs(state: SchedulerState, service: ServiceState, claim: ServiceClaim): number {
  const { config, self } = state
  if (canFollow(state, service, claim)) return 0
  const ranks = rankSuccessors(service.id, membersInView(state))
  const turnMs = Math.max(0, ranks.indexOf(self)) * config.takeoverStepMs
  return service.spec?.durability === 'none' && claim.voters.length > 1
    ? turnMs
    : config.serviceLostMs + turnMs
}

/**
 * This peer holds the state: it stops following, and asks the voters to be host.
 * @param handed the host told it to; `null`: the host is gone
 */
export function takeOver(
  ctx: StepContext,
  service: ServiceState,
  handed: Pick<ServiceMessageOf<'hand-over'>, 'isFirst' | 'isLeaving' | 'seq'> | null = null,
): void {
  const { claim, spec, bid } = service
  const copy = claim === null ? undefined : service.copies.get(claim.host)
  if (claim === null || spec === null || copy === undefined || bid !== null) return
  service.pausedAt = claim.epoch
  const hosted = service.hosted ?? createHosted(ctx, service, spec, copy)
  // Who had the state until now keeps it: from the first moment another one has all of it.
  if (handed?.isLeaving === false && handed.seq === copy.seq) keepLeft(ctx, hosted, claim.host)
  else {
    // It stays out of the new claim's way: the state goes to the next follower while the voters are asked.
    const next = candidates(ctx.state, service).find((peer) => peer !== claim.host)
    if (next !== undefined) install(ctx, service, hosted, next)
  }
  startBid(ctx, service, null, handed?.isFirst)
}

/** Nobody has the state: without durability the service starts anew, with it it is lost. */
function takeWithoutState(ctx: StepContext, service: ServiceState, claim: ServiceClaim): void {
  const { state } = ctx
  if (claim.voters.length === 1) {
    // The host alone could have said what follows. If it lives, its next claim outlives this.
    writeEnd(ctx, service, claim.epoch, 'lost')
    learnEnd(ctx, service, claim.epoch, 'lost')
    return
  }
  if (!isThisStart(state.services, claim)) return
  if (service.spec?.durability === 'none') {
    startBid(ctx, service, null)
    return
  }
  const listed = claim.voters.find(({ peer }) => peer === claim.follower)
  const follower = claim.follower === null ? undefined : state.peers.get(claim.follower)
  const isAlive =
    claim.follower !== state.self && follower !== undefined && follower.epoch <= (listed?.epoch ?? 0)
  if (isAlive) armTick(ctx.state, service, state.now + state.config.serviceLostMs)
  else startBid(ctx, service, 'lost')
}

/** An earlier start of this peer was host: nobody else can know as surely that it is gone. */
function mournOwnStart(ctx: StepContext, service: ServiceState, claim: ServiceClaim): void {
  const { state } = ctx
  if (isHostHere(state.services, claim)) return
  service.hostGone ??= { cause: 'dead', at: state.now }
  const dueAt = service.hostGone.at + 2 * state.config.serviceLostMs
  const hasFollower = claim.follower !== null && state.peers.has(claim.follower)
  if (state.now >= dueAt && !hasFollower) {
    writeEnd(ctx, service, claim.epoch, 'lost')
    learnEnd(ctx, service, claim.epoch, 'lost')
    return
  }
  for (const { peer } of claim.voters) if (peer !== state.self) say(ctx, peer, service, { type: 'unknown' })
  armTick(ctx.state, service, state.now + state.config.auditMs)
}

/* What the view says. */

export function onPeerLost(ctx: StepContext, peer: PeerId, cause: EventOf<'peer-left'>['cause']): void {
  const { services, now } = ctx.state
  if (cause === 'fenced') services.fenced.add(peer)
  services.leaving.delete(peer)
  for (const service of [...services.services.values()]) {
    if (service.claim?.host === peer && service.ended === null) service.hostGone = { cause, at: now }
    service.hosted?.kept.delete(peer)
    tick(ctx, service)
    touch(ctx, service)
  }
}

export function onPeerMet(ctx: StepContext, peer: PeerId): void {
  const { services, now, config } = ctx.state
  services.fenced.delete(peer)
  services.leaving.delete(peer)
  for (const service of services.services.values()) {
    const { claim } = service
    if (claim === null || service.ended !== null) continue
    if (claim.host === peer) {
      service.hostGone = null
      service.unsent = [...service.calls.keys()]
      touch(ctx, service)
    }
    if (service.hosted?.isActing === true) {
      tellClaim(ctx, peer, service)
      armTick(ctx.state, service, now + config.serviceJoinMs)
    }
  }
}
