import type { PeerId } from '../../model/ids.ts'
import type { Ballot, ServiceClaim, ServiceEnd, ServiceMessageOf } from '../../model/service.ts'
import { hash32 } from '../../policy/own.ts'
import type { StepContext } from '../context.ts'
import type { SchedulerState } from '../state.ts'
import { isInDoubt } from '../takeover.ts'
import { learnClaim, writeEnd } from './claims.ts'
import { armTick, say, tellClaim } from './say.ts'
import {
  type Bid,
  isHostHere,
  isThisStart,
  peerOfCaller,
  type ServiceState,
  type VoteState,
} from './state.ts'
import { chooseVoters, compareBallots, followerOf } from './voters.ts'

/*
 * What follows a claim is decided by a majority of its voters, as in single-decree Paxos (Lamport, 1998): no two
 * claims ever follow one, and whoever finds an accepted one completes it. The chain of claims is that of Vertical
 * Paxos (Lamport, Malkhi, Zhou, 2009): each claim names the voters of the next.
 */

/**
 * Tries to become host, to stay it with other peers, or (`end`) to end the service. The lowest ballot is the host's: it
 * needs no promises, as nothing can have been accepted before it, and is good for one claim.
 * @param isLent the host gave its lowest ballot to this peer
 */
export function startBid(
  ctx: StepContext,
  service: ServiceState,
  end: ServiceEnd | null,
  isLent = false,
): void {
  const { claim } = service
  if (claim === null || service.ended !== null || service.bid !== null) return
  const vote = voteOn(service, claim)
  const bid: Bid = {
    claim,
    end,
    ballot: lowest(claim),
    next: null,
    promises: new Map(),
    accepts: new Set(),
    restarted: new Set(),
    round: Math.max(0, vote?.promised.round ?? 0),
    retryAt: 0,
    isWaiting: false,
    waitsUntil: ctx.state.now + ctx.state.config.serviceRetryMs,
  }
  service.bid = bid
  if (vote === null && (isLent || isHostHere(ctx.state.services, claim))) {
    armRetry(ctx, service, bid)
    propose(ctx, service, bid)
  } else nextRound(ctx, service, bid)
}

/** Below all others: round 0 of the claim's host. */
function lowest({ host }: ServiceClaim): Ballot {
  return { round: 0, peer: host }
}

/**
 * Gives the lowest ballot away, so that this peer never uses it itself.
 * @returns `false`: it is used, or of no use, as this peer has voted already
 */
export function lendBallot(service: ServiceState, claim: ServiceClaim): boolean {
  if (voteOn(service, claim) !== null) return false
  service.vote = { epoch: claim.epoch, host: claim.host, promised: lowest(claim), accepted: null }
  return true
}

/** Asks the voters again, with a ballot above all that were seen. */
export function nextRound(ctx: StepContext, service: ServiceState, bid: Bid): void {
  const { state } = ctx
  bid.round++
  bid.ballot = { round: bid.round, peer: state.self }
  bid.next = null
  bid.isWaiting = false
  bid.promises.clear()
  bid.accepts.clear()
  armRetry(ctx, service, bid)
  for (const { peer } of bid.claim.voters) {
    say(ctx, peer, service, { type: 'prepare', claim: bid.claim, ballot: bid.ballot })
  }
}

function armRetry(ctx: StepContext, service: ServiceState, bid: Bid): void {
  const { state } = ctx
  // Never the same pause for two who want the same: they would cross each other for ever.
  const spreadMs = hash32(`${state.self} ${bid.round}`) % state.config.serviceRetryMs
  bid.retryAt = state.now + state.config.serviceRetryMs + spreadMs
  armTick(ctx.state, service, bid.retryAt)
}

export function onPrepare(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { claim, ballot }: ServiceMessageOf<'prepare'>,
): void {
  const vote = ballotFor(ctx, from, service, claim, ballot)
  if (vote === null) return
  vote.promised = ballot
  say(ctx, from, service, { type: 'promise', epoch: claim.epoch, ballot, accepted: vote.accepted })
}

export function onAccept(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { claim, ballot, next }: ServiceMessageOf<'accept'>,
): void {
  const vote = ballotFor(ctx, from, service, claim, ballot)
  if (vote === null) return
  vote.promised = ballot
  vote.accepted = { ballot, next }
  say(ctx, from, service, { type: 'accepted', epoch: claim.epoch, ballot })
}

/** This peer's vote on what follows `claim`, if it has one and promised no higher ballot; says why not. */
function ballotFor(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  claim: ServiceClaim,
  ballot: Ballot,
): VoteState | null {
  const { state } = ctx
  learnClaim(ctx, service, claim)
  const known = service.claim as ServiceClaim
  if (service.ended !== null || known.epoch !== claim.epoch || known.host !== claim.host) {
    tellClaim(ctx, from, service)
    return null
  }
  const refuse = (reason: 'promised' | 'restarted', promised: Ballot | null): null => {
    say(ctx, from, service, { type: 'vote-refused', epoch: claim.epoch, ballot, reason, promised })
    return null
  }
  if (!isThisStart(state.services, claim)) return refuse('restarted', null)
  // The lowest round is the host's alone.
  if (ballot.round === 0 && ballot.peer !== claim.host) return refuse('promised', lowest(claim))
  let vote = voteOn(service, claim)
  if (vote === null) {
    vote = {
      epoch: claim.epoch,
      host: claim.host,
      promised: { round: 0, peer: '' as PeerId },
      accepted: null,
    }
    service.vote = vote
  }
  return compareBallots(vote.promised, ballot) > 0 ? refuse('promised', vote.promised) : vote
}

function voteOn({ vote }: ServiceState, claim: ServiceClaim): VoteState | null {
  return vote !== null && vote.epoch === claim.epoch && vote.host === claim.host ? vote : null
}

export function onPromise(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { epoch, ballot, accepted }: ServiceMessageOf<'promise'>,
): void {
  const bid = bidFor(service, epoch, ballot)
  if (bid === null || bid.next !== null) return
  bid.promises.set(from, accepted)
  if (bid.promises.size >= votesNeeded(ctx.state, service, bid)) propose(ctx, service, bid)
}

/** A majority listens: completes what may have been decided already, or else says what this peer wants. */
function propose(ctx: StepContext, service: ServiceState, bid: Bid): void {
  let found: VoteState['accepted'] = null
  for (const accepted of bid.promises.values()) {
    if (accepted !== null && (found === null || compareBallots(accepted.ballot, found.ballot) > 0))
      found = accepted
  }
  const next = found?.next ?? wanted(ctx.state, service, bid)
  bid.isWaiting = found === null && next.follower === null && hasCopyUnderWay(ctx.state, service, bid)
  if (bid.isWaiting) return
  bid.next = next
  if (next.host === ctx.state.self && next.follower !== null) service.hosted?.proposed.add(next.follower)
  for (const { peer } of bid.claim.voters) {
    say(ctx, peer, service, { type: 'accept', claim: bid.claim, ballot: bid.ballot, next })
  }
}

/** Who takes over has the only copy: a claim that names another one from the start outlives it, too. */
function hasCopyUnderWay(
  { now }: SchedulerState,
  { hosted }: ServiceState,
  { end, waitsUntil }: Bid,
): boolean {
  return end === null && hosted?.isActing === false && hosted.kept.size > 0 && now < waitsUntil
}

/** A copy has come to where it went. */
export function onCopied(ctx: StepContext, service: ServiceState): void {
  const { bid } = service
  if (bid?.isWaiting === true && followerOf(ctx.state, service) !== null) propose(ctx, service, bid)
}

function wanted(state: SchedulerState, service: ServiceState, { claim, end }: Bid): ServiceClaim {
  const follower = end === null ? followerOf(state, service) : null
  const voters = chooseVoters(state, service, follower)
  return { epoch: claim.epoch + 1, host: state.self, follower, voters, end }
}

export function onAccepted(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { epoch, ballot }: ServiceMessageOf<'accepted'>,
): void {
  const bid = bidFor(service, epoch, ballot)
  if (bid === null || bid.next === null) return
  bid.accepts.add(from)
  if (bid.accepts.size < votesNeeded(ctx.state, service, bid)) return
  const { next } = bid
  const told = new Set([...bid.claim.voters, ...next.voters].map((voter) => voter.peer))
  for (const peer of callersOf(ctx.state, service)) told.add(peer)
  if (next.end !== null) writeEnd(ctx, service, next.epoch, next.end)
  // Completed for another peer, which may be gone by now: then nobody else would write it.
  else if (next.host !== ctx.state.self) {
    ctx.write({ type: 'service-claim', by: ctx.state.self, service: service.id, claim: next })
  }
  learnClaim(ctx, service, next)
  told.delete(ctx.state.self)
  for (const peer of told) tellClaim(ctx, peer, service)
}

export function onVoteRefused(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { epoch, ballot, reason, promised }: ServiceMessageOf<'vote-refused'>,
): void {
  const bid = bidFor(service, epoch, ballot)
  if (bid === null) return
  if (promised !== null) bid.round = Math.max(bid.round, promised.round)
  if (reason !== 'restarted' || bid.restarted.has(from)) return
  bid.restarted.add(from)
  // One vote may be enough now.
  nextRound(ctx, service, bid)
}

/** Peers in view that have called the service, as far as known here. */
function callersOf({ peers }: SchedulerState, { hosted }: ServiceState): PeerId[] {
  return [...(hosted?.sessions.keys() ?? [])].map(peerOfCaller).filter((peer) => peers.has(peer))
}

function bidFor({ bid }: ServiceState, epoch: number, ballot: Ballot): Bid | null {
  return bid !== null && bid.claim.epoch === epoch && compareBallots(bid.ballot, ballot) === 0 ? bid : null
}

/**
 * A majority. In a strict service voters that started again count as silent, but of two the other one is enough:
 * nothing was decided without it. Else they count no more, and of two that are left one is enough when the other is
 * gone.
 */
function votesNeeded(state: SchedulerState, { spec }: ServiceState, { claim, restarted }: Bid): number {
  const { voters } = claim
  if (spec?.consistency !== 'available') {
    const isOneEnough = voters.length === 2 && restarted.size === 1
    return isOneEnough ? 1 : majority(voters.length)
  }
  const left = voters.filter(({ peer }) => !restarted.has(peer))
  const other = left.find(({ peer }) => peer !== state.self)?.peer
  if (left.length !== 2 || other === undefined) return majority(left.length)
  const isGone = !state.peers.has(other) && !state.services.fenced.has(other)
  return isGone && !isInDoubt(state) ? 1 : 2
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1
}
