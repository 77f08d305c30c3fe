import type { PeerId } from '../../model/ids.ts'
import type { ServiceMessage } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import type { SchedulerState } from '../state.ts'
import type { ServiceState } from './state.ts'

export function say(ctx: StepContext, to: PeerId, service: ServiceState, body: ServiceMessage): void {
  ctx.send(to, { type: 'service', service: service.id, body })
}

/** Has the service looked at, at this time at the latest: in this step when that is now. */
export function armTick(state: SchedulerState, service: ServiceState, at: number): void {
  if (at <= state.now) {
    state.services.due.add(service)
    return
  }
  if (at >= service.tickAt) return
  service.tickAt = at
  state.timers.arm(at, { type: 'service', service: service.id })
}

/** Something of this service is to be sent at the end of this step. */
export function touch(ctx: StepContext, service: ServiceState): void {
  ctx.state.services.dirty.add(service)
}

/** Says what is known here to whoever seems to know less. */
export function tellClaim(ctx: StepContext, to: PeerId, service: ServiceState): void {
  const { claim, ended, endedEpoch } = service
  if (claim === null && ended === null) say(ctx, to, service, { type: 'unknown' })
  else if (ended !== null) say(ctx, to, service, { type: 'ended', epoch: endedEpoch, reason: ended })
  else if (claim !== null) say(ctx, to, service, { type: 'claimed', claim })
}
