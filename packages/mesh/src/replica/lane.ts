import type { JobId, PeerId, ReplicatedRecord } from '@shoal/scheduler'
import { unpackBody } from '../wire/body.ts'
import { asJobId, asText, asTuple, asUint, fitText, schemaError } from '../wire/validate.ts'
import { packKept } from './batch.ts'

/** What the `jobs` array of a lane holds, one entry each. */
export type LaneRecord = Extract<ReplicatedRecord, { readonly type: 'job' | 'claim' | 'ended' }>

export function packLaneRecord(record: LaneRecord): Uint8Array {
  switch (record.type) {
    case 'job':
      return packKept([0, record.job, fitText(record.name)])
    case 'claim':
      return packKept([1, record.job, record.epoch])
    case 'ended':
      return packKept([2, record.job])
  }
}

/**
 * @throws ShoalError `E_DECODE`, `E_DEPTH` or `E_SCHEMA` when the entry is not what a writer makes
 */
export function unpackLaneRecord(bytes: Uint8Array, by: PeerId): LaneRecord {
  const entry = unpackBody(bytes)
  const kind: unknown = Array.isArray(entry) ? entry[0] : entry
  if (kind === 0) {
    const [, job, name] = asTuple(entry, 3, 'a job')
    return { type: 'job', by, job: readJob(job), name: asText(name, 'the name of a job') }
  }
  if (kind === 1) {
    const [, job, epoch] = asTuple(entry, 3, 'a claim')
    return { type: 'claim', by, job: readJob(job), epoch: asUint(epoch, 'an epoch') }
  }
  if (kind !== 2) throw schemaError('the kind of a lane entry', '0 to 2', kind)
  const [, job] = asTuple(entry, 2, 'the end of a job')
  return { type: 'ended', by, job: readJob(job) }
}

function readJob(value: unknown): JobId {
  return asJobId(value, 'the id of a job')
}
