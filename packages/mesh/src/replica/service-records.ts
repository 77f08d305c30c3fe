import type { PeerId, ReplicatedRecord, ServiceId } from '@shoal/scheduler'
import type * as Y from 'yjs'
import { unpackBody } from '../wire/body.ts'
import {
  asServiceId,
  readServiceClaim,
  readServiceEnd,
  readServiceSpec,
  writeServiceClaim,
  writeServiceEnd,
  writeServiceSpec,
} from '../wire/service-claims.ts'
import { asTuple, asUint, schemaError } from '../wire/validate.ts'
import { packKept } from './batch.ts'

/** What the `services` array of a lane holds, one entry each. */
export type ServiceRecord = Extract<
  ReplicatedRecord,
  { readonly type: 'service' | 'service-claim' | 'service-ended' }
>

export function packServiceRecord(record: ServiceRecord): Uint8Array {
  switch (record.type) {
    case 'service':
      return packKept([0, writeServiceSpec(record.spec)])
    case 'service-claim':
      return packKept([1, record.service, writeServiceClaim(record.claim)])
    case 'service-ended':
      return packKept([2, record.service, record.epoch, writeServiceEnd(record.reason)])
  }
}

/**
 * @throws ShoalError `E_DECODE`, `E_DEPTH` or `E_SCHEMA` when the entry is not what a writer makes
 */
export function unpackServiceRecord(bytes: Uint8Array, by: PeerId): ServiceRecord {
  const entry = unpackBody(bytes)
  const kind: unknown = Array.isArray(entry) ? entry[0] : entry
  if (kind === 0) {
    const [, spec] = asTuple(entry, 2, 'a service')
    return { type: 'service', by, spec: readServiceSpec(spec) }
  }
  if (kind === 1) {
    const [, service, claim] = asTuple(entry, 3, 'the claim of a service')
    return { type: 'service-claim', by, service: asServiceId(service), claim: readServiceClaim(claim) }
  }
  if (kind !== 2) throw schemaError('the kind of a service entry', '0 to 2', kind)
  const [, service, epoch, reason] = asTuple(entry, 4, 'the end of a service')
  const ended = { epoch: asUint(epoch, 'an epoch'), reason: readServiceEnd(reason) }
  return { type: 'service-ended', by, service: asServiceId(service), ...ended }
}

export function serviceOf(record: ServiceRecord): ServiceId {
  return record.type === 'service' ? record.spec.id : record.service
}

/**
 * What new records make useless in their own lane: an older claim by a newer one, all of a service by its end,
 * and the oldest ends by many new ones.
 * @param items live entries of the lane's `services`, in order
 */
export function outdatedServices(
  items: readonly { readonly item: Y.Item; readonly record: ServiceRecord }[],
  records: readonly ServiceRecord[],
  endedKept: number,
): readonly Y.Item[] {
  const claimed = new Set(records.flatMap((one) => (one.type === 'service-claim' ? [one.service] : [])))
  const ended = new Set(records.flatMap((one) => (one.type === 'service-ended' ? [one.service] : [])))
  const ends = ended.size + items.filter(({ record }) => record.type === 'service-ended').length
  let excess = ends > 2 * endedKept ? ends - endedKept : 0
  return items.flatMap(({ item, record }) => {
    const service = serviceOf(record)
    if (record.type === 'service-ended') return excess-- > 0 ? [item] : []
    return ended.has(service) || (record.type === 'service-claim' && claimed.has(service)) ? [item] : []
  })
}
