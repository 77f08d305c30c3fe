import { errorRecord } from '../../model/errors.ts'
import type { PeerId } from '../../model/ids.ts'
import type { ReplicatedRecord } from '../../model/records.ts'
import type { ServiceId, ServiceMessage, ServiceNews, ServiceRequest } from '../../model/service.ts'
import type { StepContext } from '../context.ts'

/** Requests of the local user. */
export function onAsked(ctx: StepContext, requests: readonly ServiceRequest[]): void {
  const answers = requests.map(({ request, service }) => {
    const error = errorRecord('E_NO_SERVICE', `Cannot reach service "${service}" as nobody here knows it`)
    return { request, outcome: { status: 'failed', error } } as const
  })
  ctx.emit({ type: 'answer-requests', answers })
}

export function onNews(_ctx: StepContext, _news: readonly ServiceNews[]): void {}

export function onLeaving(ctx: StepContext): void {
  ctx.emit({ type: 'services-left' })
}

export function onMessage(_ctx: StepContext, _from: PeerId, _id: ServiceId, _message: ServiceMessage): void {}

export function onServiceRecord(
  _ctx: StepContext,
  _record: Extract<ReplicatedRecord, { readonly type: 'service' | 'service-claim' | 'service-ended' }>,
): void {}
