import {
  type Clock,
  type JobId,
  type OperationRecord,
  type OperationStore,
  type OutcomeRecord,
  type PeerId,
  type PeerProfile,
  type ReplicatedRecord,
  ShoalError,
  type TaskSpec,
} from '@shoal/scheduler'
import * as Y from 'yjs'
import {
  estimateOutcome,
  estimateSpec,
  packOperations,
  packOutcomes,
  packProfile,
  packSpecs,
} from './batch.ts'
import { type ArrayName, jobName, laneName, type ReplicatedDocument } from './document.ts'
import type { Documents } from './documents.ts'
import { type LaneRecord, packLaneRecord, unpackLaneRecord } from './lane.ts'
import type { ReplicaLimits } from './limits.ts'

export interface WriterOptions {
  readonly self: PeerId
  readonly clientId: number
  readonly clock: Clock
  readonly documents: Documents
  readonly operations: OperationStore
  readonly limits: ReplicaLimits
}

/** Gathers this peer's records and writes them: one transaction per document and flush. */
export interface Writer {
  readonly transactions: number
  write(records: readonly ReplicatedRecord[]): void
  /** The job was dropped: what waits for it is forgotten, and its lane entries go with the next flush. */
  dropJob(job: JobId): void
  flush(): void
  close(): void
}

interface JobBuffer {
  readonly specs: TaskSpec[]
  readonly operations: OperationRecord[]
  readonly outcomes: Map<number, OutcomeRecord[]>
}

type JobRecord = Extract<ReplicatedRecord, { readonly type: 'operations' | 'specs' | 'outcomes' }>

interface Entry {
  readonly array: ArrayName
  readonly bytes: Uint8Array
}

export function createWriter(options: WriterOptions): Writer {
  return new BufferedWriter(options)
}

class BufferedWriter implements Writer {
  transactions = 0
  readonly #options: WriterOptions
  #lane: LaneRecord[] = []
  #ended: LaneRecord[] = []
  #profile: PeerProfile | null = null
  #jobs = new Map<JobId, JobBuffer>()
  readonly #pruned = new Set<JobId>()
  #rows = 0
  #flushedAt = Number.NEGATIVE_INFINITY
  #cancelTimer: (() => void) | null = null
  #isDeferred = false
  #isClosed = false

  constructor(options: WriterOptions) {
    this.#options = options
  }

  write(records: readonly ReplicatedRecord[]): void {
    if (this.#isClosed) return
    for (const record of records) this.#gather(record)
    this.#schedule()
  }

  dropJob(job: JobId): void {
    this.#jobs.delete(job)
    this.#pruned.add(job)
    this.#schedule()
  }

  flush(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#isDeferred = false
    if (this.#isClosed) return
    this.#flushedAt = this.#options.clock.now()
    this.#rows = 0
    // In this order, so that a reader knows a job before its tasks, and its outcomes before its end.
    this.#flushLane()
    const buffers = this.#jobs
    this.#jobs = new Map()
    for (const [job, buffer] of buffers) this.#flushJob(job, buffer)
    this.#flushEnded()
  }

  close(): void {
    this.flush()
    this.#isClosed = true
  }

  #gather(record: ReplicatedRecord): void {
    if ('by' in record && record.by !== this.#options.self) {
      throw new ShoalError('E_CRDT_FOREIGN', `Cannot write for another peer: current value is ${record.by}`)
    }
    switch (record.type) {
      case 'job':
      case 'claim':
        this.#lane.push(record)
        break
      case 'ended':
        this.#ended.push(record)
        break
      case 'profile':
        this.#profile = record.profile
        break
      default:
        if (!this.#options.documents.isDropped(jobName(record.job))) this.#gatherRows(record)
    }
  }

  #gatherRows(record: JobRecord): void {
    let buffer = this.#jobs.get(record.job)
    if (buffer === undefined) {
      buffer = { specs: [], operations: [], outcomes: new Map() }
      this.#jobs.set(record.job, buffer)
    }
    if (record.type === 'operations') buffer.operations.push(...record.operations)
    else if (record.type === 'specs') {
      for (const spec of record.specs) buffer.specs.push(spec)
      this.#rows += record.specs.length
    } else {
      const list = buffer.outcomes.get(record.epoch) ?? []
      for (const outcome of record.outcomes) list.push(outcome)
      buffer.outcomes.set(record.epoch, list)
      this.#rows += record.outcomes.length
    }
  }

  /** Idle: at the end of this turn. Under load: when enough has gathered, or a few milliseconds passed. */
  #schedule(): void {
    if (this.#isDeferred || this.#isClosed) return
    const { clock, limits } = this.#options
    const dueAt = this.#flushedAt + limits.flushMs
    if (this.#rows >= limits.flushRecords || clock.now() >= dueAt) {
      this.#cancelTimer?.()
      this.#cancelTimer = null
      this.#isDeferred = true
      clock.defer(() => this.flush())
    } else this.#cancelTimer ??= clock.setTimer(dueAt, () => this.flush())
  }

  #flushLane(): void {
    const entries = this.#lane
    const profile = this.#profile
    this.#lane = []
    this.#profile = null
    if (entries.length === 0 && profile === null) return
    const document = this.#options.documents.open(laneName(this.#options.self))
    this.#transact(document, (transaction) => {
      if (profile !== null) {
        const array = document.array('profile')
        if (array.length > 0) array.delete(0, array.length)
        document.append(transaction, 'profile', packProfile(profile))
      }
      for (const record of entries) document.append(transaction, 'jobs', packLaneRecord(record))
    })
  }

  #flushJob(job: JobId, buffer: JobBuffer): void {
    const { documents, clientId, self, limits } = this.#options
    const document = documents.open(jobName(job))
    const entries = jobEntries(document, job, buffer, this.#options)
    if (Y.getState(document.doc.store, clientId) === 0) {
      // What makes the document say by itself whose a client id is; see filter.ts.
      entries.unshift({ array: 'writers', bytes: new TextEncoder().encode(self) })
    }
    for (let i = 0; i < entries.length; ) {
      this.#transact(document, (transaction) => {
        let bytes = 0
        do {
          const { array, bytes: content } = entries[i++] as Entry
          document.append(transaction, array, content)
          bytes += content.length
        } while (i < entries.length && bytes + (entries[i] as Entry).bytes.length <= limits.batchBytes)
      })
    }
  }

  #flushEnded(): void {
    const { documents, self, limits } = this.#options
    if (this.#ended.length === 0 && this.#pruned.size === 0) return
    const entries = this.#ended
    this.#ended = []
    // A lane that never was needs no pruning.
    if (entries.length === 0 && documents.get(laneName(self)) === undefined) return this.#pruned.clear()
    const document = documents.open(laneName(self))
    this.#transact(document, (transaction) => {
      for (const record of entries) document.append(transaction, 'jobs', packLaneRecord(record))
      if (this.#pruned.size > 0) pruneLane(document, this.#pruned, limits.endedKept)
    })
    this.#pruned.clear()
  }

  #transact(document: ReplicatedDocument, change: (transaction: Y.Transaction) => void): void {
    this.transactions++
    document.doc.transact(change)
  }
}

function jobEntries(
  document: ReplicatedDocument,
  job: JobId,
  buffer: JobBuffer,
  options: WriterOptions,
): Entry[] {
  const entries: Entry[] = []
  const wanted = buffer.operations.filter(({ hash }) => !document.operations.has(hash))
  for (const { hash } of wanted) document.operations.add(hash)
  for (const { operation: hash } of buffer.specs) {
    if (document.operations.has(hash)) continue
    const operation = options.operations.get(hash)
    if (operation === null || operation.source.length > options.limits.sourceChars) continue
    document.operations.add(hash)
    wanted.push(operation)
  }
  for (const operation of wanted) entries.push({ array: 'spec', bytes: packOperations([operation]) })
  for (const specs of cut(buffer.specs, estimateSpec, options.limits)) {
    entries.push({ array: 'spec', bytes: packSpecs(specs, job) })
  }
  for (const [epoch, all] of buffer.outcomes) {
    for (const outcomes of cut(all, estimateOutcome, options.limits)) {
      entries.push({ array: 'done', bytes: packOutcomes(epoch, outcomes, job) })
    }
  }
  return entries
}

/** Cuts rows into batches that stay within the limits; a row that is larger alone goes alone. */
function cut<T>(rows: readonly T[], estimate: (row: T) => number, limits: ReplicaLimits): readonly T[][] {
  const batches: T[][] = []
  let batch: T[] = []
  let bytes = 0
  for (const row of rows) {
    const size = estimate(row)
    if (batch.length > 0 && (bytes + size > limits.batchBytes || batch.length >= limits.batchRows)) {
      batches.push(batch)
      batch = []
      bytes = 0
    }
    batch.push(row)
    bytes += size
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

/** Takes what ended out of this peer's own lane: a lane that only grew would be joined for ever. */
function pruneLane(document: ReplicatedDocument, jobs: ReadonlySet<JobId>, endedKept: number): void {
  const array = document.array('jobs')
  const records = array.toArray().map((bytes) => unpackLaneRecord(bytes, document.key as PeerId))
  const ended = records.filter(({ type }) => type === 'ended').length
  let excess = ended > 2 * endedKept ? ended - endedKept : 0
  const isPast = records.map(({ type, job }) => (type === 'ended' ? excess-- > 0 : jobs.has(job)))
  for (let i = records.length - 1; i >= 0; i--) if (isPast[i]) array.delete(i, 1)
}
