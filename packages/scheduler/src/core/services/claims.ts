import type { PeerId } from '../../model/ids.ts'
import type { ReplicatedRecord } from '../../model/records.ts'
import type { ServiceClaim, ServiceEnd, ServiceSpec } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { failCalls, resendCalls, settleOrders } from './caller.ts'
import { act, closeHosted, renewed } from './host.ts'
import { armTick, tellClaim } from './say.ts'
import { isHostHere, type ServiceState, serviceOf } from './state.ts'

type ServiceRecord = Extract<
  ReplicatedRecord,
  { readonly type: 'service' | 'service-claim' | 'service-ended' }
>

/** What other members, or earlier starts of this one, wrote of services. */
export function onServiceRecord(ctx: StepContext, record: ServiceRecord): void {
  if (record.type === 'service') {
    learnSpec(ctx, serviceOf(ctx.state.services, record.spec.id), record.spec)
    return
  }
  const service = serviceOf(ctx.state.services, record.service)
  if (record.type === 'service-claim') learnClaim(ctx, service, record.claim)
  else learnEnd(ctx, service, record.epoch, record.reason)
}

export function learnSpec(ctx: StepContext, service: ServiceState, spec: ServiceSpec): void {
  if (service.spec !== null) return
  service.spec = spec
  prepareIfNext(ctx, service)
}

/** Takes a decided claim, unless a newer one is known. Between equal epochs, after a fork, the higher host acts. */
export function learnClaim(ctx: StepContext, service: ServiceState, claim: ServiceClaim): void {
  const { state } = ctx
  const before = service.claim
  if ((before !== null && !isNewer(claim, before)) || claim.epoch <= service.endedEpoch) return
  service.claim = claim
  if (claim.end !== null) {
    learnEnd(ctx, service, claim.epoch, claim.end)
    return
  }
  service.ended = null
  service.bid = null
  service.hostGone = null
  state.story.add(state.now, service.id, `hosted by ${claim.host} at epoch`, claim.epoch)
  for (const from of service.copies.keys()) if (from !== claim.host) service.copies.delete(from)
  if (isHostHere(state.services, claim)) {
    ctx.write({ type: 'service-claim', by: state.self, service: service.id, claim })
    if (service.hosted?.isActing === true) renewed(ctx, service, service.hosted)
    else act(ctx, service)
  } else {
    const { turnedAway = [], handedOver = null } = service.hosted ?? {}
    for (const peer of turnedAway) tellClaim(ctx, peer, service)
    const isNamed = claim.follower === state.self && handedOver?.epoch === claim.epoch - 1
    if (isNamed && !service.copies.has(claim.host)) service.copies.set(claim.host, handedOver.left)
    closeHosted(ctx, service)
  }
  prepareIfNext(ctx, service)
  if (before?.host !== claim.host) tellMoved(ctx, service, claim, before)
  armTick(ctx.state, service, state.now)
}

function isNewer(left: ServiceClaim, right: ServiceClaim): boolean {
  return left.epoch !== right.epoch ? left.epoch > right.epoch : left.host > right.host
}

function tellMoved(
  ctx: StepContext,
  service: ServiceState,
  claim: ServiceClaim,
  before: ServiceClaim | null,
): void {
  const name = service.spec?.name ?? null
  const { host, epoch } = claim
  if (before !== null) {
    ctx.emit({ type: 'notify-service', notice: { type: 'moved', service: service.id, name, host, epoch } })
  }
  settleOrders(ctx, service)
  resendCalls(ctx, service)
}

/** Who may have to host it next gets its code now: whoever has it may be gone by then. */
function prepareIfNext(ctx: StepContext, service: ServiceState): void {
  const { spec, claim } = service
  const wasPrepared = service.isPrepared
  service.isPrepared = isNext(ctx.state.self, service)
  if (service.isPrepared && spec !== null && claim !== null)
    ctx.emit({ type: 'prepare-service', spec, from: claim.host })
  else if (wasPrepared) ctx.emit({ type: 'unprepare-service', service: service.id })
}

function isNext(self: PeerId, { spec, claim, ended }: ServiceState): boolean {
  if (spec === null || claim === null || ended !== null || claim.host === self) return false
  return spec.durability === 'none' ? claim.voters.some(({ peer }) => peer === self) : claim.follower === self
}

export function writeEnd(ctx: StepContext, service: ServiceState, epoch: number, reason: ServiceEnd): void {
  ctx.write({ type: 'service-ended', by: ctx.state.self, service: service.id, epoch, reason })
}

/** The service is no more: said at `epoch`, which a newer claim outlives. */
export function learnEnd(ctx: StepContext, service: ServiceState, epoch: number, reason: ServiceEnd): void {
  if (epoch <= service.endedEpoch || (service.claim !== null && service.claim.epoch > epoch)) return
  const { state } = ctx
  // Said of the claim itself, it is what somebody believes; said of the next one, voters decided it.
  if (service.hosted?.isActing === true && service.claim?.epoch === epoch && service.claim.end === null) {
    service.hosted.isDoubted = true
    armTick(ctx.state, service, state.now)
    return
  }
  service.ended = reason
  service.endedEpoch = epoch
  service.bid = null
  service.hostGone = null
  service.copies.clear()
  closeHosted(ctx, service)
  prepareIfNext(ctx, service)
  state.story.add(state.now, service.id, reason)
  ctx.emit({
    type: 'notify-service',
    notice: { type: 'ended', service: service.id, name: service.spec?.name ?? null, reason },
  })
  settleOrders(ctx, service)
  failCalls(ctx, service)
}

/** Somebody knows nothing of the service: who was taken for its host is another start; others are told who is. */
export function onUnknown(ctx: StepContext, from: PeerId, service: ServiceState): void {
  if (service.claim?.host === from && service.hostGone === null) {
    service.hostGone = { cause: 'dead', at: ctx.state.now }
    armTick(ctx.state, service, ctx.state.now)
  } else if (service.claim !== null || service.ended !== null) tellClaim(ctx, from, service)
}
