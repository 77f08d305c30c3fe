import {
  type JobId,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  peerOfProcessor,
  type ReplicatedRecord,
  ShoalError,
} from '@shoal/scheduler'
import { sha256Hex } from '../membership/sha256.ts'
import { notTheirs } from '../wire/messages.ts'
import { unpackOutcomes, unpackProfile, unpackSpecBatch } from './batch.ts'
import { type ArrayName, type Arrival, jobArrays, laneArrays, type ReplicatedDocument } from './document.ts'
import { unpackLaneRecord } from './lane.ts'
import { isSeal } from './seals.ts'
import { unpackServiceRecord } from './service-records.ts'
import type { Writers } from './writers.ts'

export interface ReaderOptions {
  readonly operations: OperationStore
  readonly writers: Writers
  refuse(error: unknown, from: string): void
}

/**
 * Turns the entries that arrived in a document into records. An entry that cannot be read is refused
 * alone: it stays in the document, and says nothing.
 */
export function readArrivals(document: ReplicatedDocument, options: ReaderOptions): ReplicatedRecord[] {
  const arrivals = document.takeArrivals()
  const records: ReplicatedRecord[] = []
  for (const array of document.kind === 'lane' ? laneArrays : jobArrays) {
    for (const arrival of arrivals[array] ?? []) {
      try {
        const record = readEntry(document, array, arrival, options)
        if (record !== null) records.push(record)
      } catch (error) {
        options.refuse(error, options.writers.of(arrival.client) ?? document.name)
      }
    }
  }
  return records
}

function readEntry(
  document: ReplicatedDocument,
  array: ArrayName,
  { client, bytes }: Arrival,
  options: ReaderOptions,
): ReplicatedRecord | null {
  const by = options.writers.of(client) ?? (document.key as PeerId)
  const job = document.key as JobId
  switch (array) {
    case 'profile': {
      const profile = unpackProfile(bytes)
      const foreign = profile.processors.find(({ id }) => peerOfProcessor(id) !== by)
      if (foreign !== undefined) throw notTheirs(foreign.id, by)
      return { type: 'profile', by, profile }
    }
    case 'jobs':
      return isSeal(bytes) ? null : unpackLaneRecord(bytes, by)
    case 'spec': {
      const batch = unpackSpecBatch(bytes, job)
      if (batch.type === 'specs') return { type: 'specs', job, specs: batch.specs }
      if (batch.type === 'range') return { type: 'range', job, range: batch.range }
      return { type: 'operations', job, operations: takeOperations(document, batch.operations, by, options) }
    }
    case 'done':
      return { type: 'outcomes', job, by, ...unpackOutcomes(bytes) }
    case 'services':
      return unpackServiceRecord(bytes, by)
    case 'writers':
      return null
  }
}

/** Sources in a job's document let a successor go on when the submitter is gone. */
function takeOperations(
  document: ReplicatedDocument,
  operations: readonly OperationRecord[],
  by: PeerId,
  options: ReaderOptions,
): readonly OperationRecord[] {
  return operations.filter((operation) => {
    if (options.operations.get(operation.hash) === null) {
      const actual = `${sha256Hex(operation.source)}#${operation.exportName}`
      if (actual !== operation.hash) {
        const text = `Cannot take operation "${operation.name}" as its hash must be ${operation.hash}`
        options.refuse(new ShoalError('E_CODE_HASH', `${text}: current value is ${actual}`), by)
        return false
      }
      options.operations.add(operation)
    }
    document.operations.add(operation.hash)
    return true
  })
}
