import { compareIds, type PeerId } from '../../model/ids.ts'
import type { Ballot, Voter } from '../../model/service.ts'
import { rankSuccessors } from '../../policy/own.ts'
import type { SchedulerState } from '../state.ts'
import type { ServiceState } from './state.ts'

/** Who votes on what comes next: one, three or five members, host and follower first; two where there are two. */
export function chooseVoters(
  state: SchedulerState,
  service: ServiceState,
  follower: PeerId | null,
): readonly Voter[] {
  const inView = membersInView(state)
  const first = follower === null ? [state.self] : [state.self, follower]
  const rest = rankSuccessors(service.id, inView).filter((peer) => !first.includes(peer))
  const ids = [...first, ...rest].slice(0, voterCount(inView.length))
  if (follower !== null && !ids.includes(follower)) ids.push(follower)
  return ids.map((peer) => ({ peer, epoch: state.peers.get(peer)?.epoch ?? 0 }))
}

export function voterCount(members: number): number {
  return members >= 5 ? 5 : Math.min(members, 3)
}

/** Members that this one can count on, itself among them. */
export function membersInView(state: SchedulerState): PeerId[] {
  const { leaving } = state.services
  return [...state.peers.values()]
    .filter((peer) => peer.role === 'member' && !peer.isSuspected && !leaving.has(peer.id))
    .map((peer) => peer.id)
}

export function compareBallots(left: Ballot, right: Ballot): number {
  return left.round !== right.round ? left.round - right.round : compareIds(left.peer, right.peer)
}

/** Members that could keep a copy, best first. */
export function candidates(state: SchedulerState, service: ServiceState): PeerId[] {
  const { hosted, claim } = service
  const others = membersInView(state).filter((peer) => {
    const isGone = peer === claim?.host && service.hostGone !== null
    return peer !== state.self && !isGone && hosted?.kept.get(peer)?.isPaused !== true
  })
  const ranked = rankSuccessors(service.id, others)
  const preferred = hosted?.migration?.to ?? claim?.follower
  return ranked.sort((left, right) => Number(right === preferred) - Number(left === preferred))
}

/** Whom a new claim names as follower: the best whose copy has every call whose reply left. */
export function followerOf(state: SchedulerState, service: ServiceState): PeerId | null {
  if (service.spec?.durability === 'none') return null
  const inView = membersInView(state)
  const whole = [...(service.hosted?.kept ?? [])]
    .filter(
      ([peer, { acked }]) => acked >= Math.max(0, service.hosted?.released ?? 0) && inView.includes(peer),
    )
    .map(([peer]) => peer)
  // One that paused goes on when the claim names it again, as its copy is whole.
  return candidates(state, service).find((peer) => whole.includes(peer)) ?? whole[0] ?? null
}
