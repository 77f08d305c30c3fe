import {
  type Clock,
  type JobId,
  type OperationStore,
  type PeerId,
  type PeerProfile,
  type ReplicatedRecord,
  ShoalError,
} from '@shoal/scheduler'
import * as Y from 'yjs'
import { packProfile } from './batch.ts'
import { type DocumentName, jobName, laneName, type ReplicatedDocument } from './document.ts'
import type { Documents } from './documents.ts'
import { type JobBuffer, jobEntries } from './job-entries.ts'
import { type LaneRecord, packLaneRecord, unpackLaneRecord } from './lane.ts'
import type { ReplicaLimits } from './limits.ts'
import { draftJobSeal, draftLaneSeal, type Entry, isSeal, laneSeals, type ReplicaSigning } from './seals.ts'
import {
  outdatedServices,
  packServiceRecord,
  type ServiceRecord,
  unpackServiceRecord,
} from './service-records.ts'

export interface WriterOptions {
  readonly self: PeerId
  readonly clientId: number
  readonly clock: Clock
  readonly documents: Documents
  readonly operations: OperationStore
  readonly limits: ReplicaLimits
  /** `null`: nothing is signed. */
  readonly signing: ReplicaSigning | null
  /** Nobody gets what is written: no member, no storage. */
  isAlone(): boolean
  onError(error: unknown): void
}

/**
 * Gathers this peer's records and writes them: one transaction per document and flush. With signing, a
 * transaction waits for its signature, so that no document ever holds entries that are not signed; what
 * comes meanwhile is gathered for the next flush.
 */
export interface Writer {
  readonly transactions: number
  write(records: readonly ReplicatedRecord[]): void
  /** The job was dropped: what waits for it is forgotten, and its lane entries go with the next flush. */
  dropJob(job: JobId): void
  flush(): void
  /** Resolves when all that was given so far is written. */
  settle(): Promise<void>
  /** What waits for a signature is lost: {@link Writer.settle} before, where there is time. */
  close(): void
}

/** One transaction to be, planned when its turn comes. */
interface Change {
  readonly name: DocumentName
  plan(document: ReplicatedDocument): {
    readonly deleted: readonly Y.Item[]
    readonly entries: readonly Entry[]
  }
}

type JobRecord = Extract<ReplicatedRecord, { readonly type: 'operations' | 'specs' | 'range' | 'outcomes' }>

export function createWriter(options: WriterOptions): Writer {
  return new BufferedWriter(options)
}

class BufferedWriter implements Writer {
  transactions = 0
  readonly #options: WriterOptions
  #lane: LaneRecord[] = []
  #ended: LaneRecord[] = []
  #services: ServiceRecord[] = []
  #profile: PeerProfile | null = null
  #jobs = new Map<JobId, JobBuffer>()
  #pruned = new Set<JobId>()
  readonly #changes: Change[] = []
  #isSigning = false
  #settled: (() => void)[] = []
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
    if (this.#isClosed || this.#isSigning) return
    this.#flushedAt = this.#options.clock.now()
    this.#rows = 0
    // In this order, so that a reader knows a job before its tasks, and its outcomes before its end.
    this.#flushLane()
    const buffers = this.#jobs
    this.#jobs = new Map()
    for (const [job, buffer] of buffers) this.#flushJob(job, buffer)
    this.#flushEnded()
    this.#flushServices()
    this.#run()
  }

  settle(): Promise<void> {
    this.flush()
    if (!this.#isSigning) return Promise.resolve()
    return new Promise((resolve) => void this.#settled.push(resolve))
  }

  close(): void {
    this.flush()
    this.#isClosed = true
    this.#tellSettled()
  }

  /** Makes the transactions that wait, one after the other, each as soon as it is signed. */
  #run(): void {
    const { signing, clientId, documents, onError } = this.#options
    const wasSigning = this.#isSigning
    this.#isSigning = false
    for (let change = this.#changes[0]; change !== undefined && !this.#isClosed; change = this.#changes[0]) {
      if (documents.isDropped(change.name)) {
        this.#changes.shift()
        continue
      }
      const document = documents.open(change.name)
      const { deleted, entries } = change.plan(document)
      if (signing === null || (deleted.length === 0 && entries.length === 0)) {
        this.#commit(document, deleted, entries)
        continue
      }
      const isLane = document.kind === 'lane'
      const gone = isLane ? [...deleted, ...laneSeals(document)] : deleted
      const draft = isLane
        ? draftLaneSeal(document, clientId, new Set(gone), entries, signing)
        : draftJobSeal(document, clientId, entries, signing)
      const state = stateOf(document)
      const done = (signature: Uint8Array): void => {
        // Planned again when the document is another one by now, or the lane has come back from others.
        if (documents.get(document.name) !== document || (isLane && state !== stateOf(document))) return
        this.#commit(document, gone, [...entries, draft.sealed(signature)])
      }
      const signature = signing.sign(draft.message)
      if (signature instanceof Uint8Array) {
        done(signature)
        continue
      }
      this.#isSigning = true
      const failed = (error: unknown): void => {
        this.#changes.shift()
        onError(error)
      }
      void signature
        .then(done, failed)
        .catch(onError)
        .finally(() => this.#run())
      return
    }
    if (this.#isClosed || !wasSigning) return
    if (this.#hasWaiting()) this.flush()
    if (!this.#isSigning) this.#tellSettled()
  }

  #hasWaiting(): boolean {
    return (
      this.#lane.length + this.#ended.length + this.#services.length > 0 ||
      this.#jobs.size + this.#pruned.size > 0 ||
      this.#profile !== null
    )
  }

  #tellSettled(): void {
    const settled = this.#settled
    this.#settled = []
    for (const resolve of settled) resolve()
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
      case 'service':
      case 'service-claim':
      case 'service-ended':
        this.#services.push(record)
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
    } else if (record.type === 'range') {
      buffer.specs.push(record.range)
      this.#rows++
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
    const isAlone = this.#options.isAlone()
    const dueAt = this.#flushedAt + (isAlone ? limits.aloneFlushMs : limits.flushMs)
    const rowsMax = isAlone ? limits.aloneFlushRecords : limits.flushRecords
    if (this.#rows >= rowsMax || clock.now() >= dueAt) {
      this.#cancelTimer?.()
      this.#cancelTimer = null
      this.#isDeferred = true
      clock.defer(() => this.flush())
    } else this.#cancelTimer ??= clock.setTimer(dueAt, () => this.flush())
  }

  #flushLane(): void {
    const records = this.#lane
    const profile = this.#profile
    this.#lane = []
    this.#profile = null
    if (records.length === 0 && profile === null) return
    this.#changes.push({
      name: laneName(this.#options.self),
      plan(document) {
        const entries: Entry[] = records.map((record) => ({ array: 'jobs', bytes: packLaneRecord(record) }))
        if (profile === null) return { deleted: [], entries }
        entries.unshift({ array: 'profile', bytes: packProfile(profile) })
        return { deleted: itemsOf(document.array('profile')), entries }
      },
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
      const part: Entry[] = []
      let bytes = 0
      do {
        const entry = entries[i++] as Entry
        part.push(entry)
        bytes += entry.bytes.length
      } while (i < entries.length && bytes + (entries[i] as Entry).bytes.length <= limits.batchBytes)
      this.#changes.push({ name: document.name, plan: () => ({ deleted: [], entries: part }) })
    }
  }

  #flushEnded(): void {
    const { documents, self, limits } = this.#options
    if (this.#ended.length === 0 && this.#pruned.size === 0) return
    const records = this.#ended
    const pruned = this.#pruned
    this.#ended = []
    this.#pruned = new Set()
    // A lane that never was needs no pruning.
    const hasLane = documents.get(laneName(self)) !== undefined
    if (records.length === 0 && !hasLane) return
    this.#changes.push({
      name: laneName(self),
      plan: (document) => ({
        deleted: pruned.size === 0 ? [] : pastItems(document, records.length, pruned, limits.endedKept),
        entries: records.map((record) => ({ array: 'jobs', bytes: packLaneRecord(record) })),
      }),
    })
  }

  #flushServices(): void {
    const { self, limits } = this.#options
    const records = this.#services
    this.#services = []
    if (records.length === 0) return
    this.#changes.push({
      name: laneName(self),
      plan(document) {
        const items = itemsOf(document.array('services'))
        const known = items.map((item) => ({ item, record: unpackServiceRecord(bytesOf(item), self) }))
        return {
          deleted: outdatedServices(known, records, limits.endedKept),
          entries: records.map((record) => ({ array: 'services', bytes: packServiceRecord(record) })),
        }
      },
    })
  }

  #commit(document: ReplicatedDocument, deleted: readonly Y.Item[], entries: readonly Entry[]): void {
    this.#changes.shift()
    if (this.#isClosed) return
    this.transactions++
    document.doc.transact((transaction) => {
      for (const item of deleted) item.delete(transaction)
      for (const { array, bytes } of entries) document.append(transaction, array, bytes)
    })
  }
}

/** What ended goes from this peer's own lane: a lane that only grew would be joined for ever. */
function pastItems(
  document: ReplicatedDocument,
  ending: number,
  jobs: ReadonlySet<JobId>,
  endedKept: number,
): readonly Y.Item[] {
  const items = itemsOf(document.array('jobs')).filter((item) => !isSeal(bytesOf(item)))
  const records = items.map((item) => unpackLaneRecord(bytesOf(item), document.key as PeerId))
  const ended = ending + records.filter(({ type }) => type === 'ended').length
  let excess = ended > 2 * endedKept ? ended - endedKept : 0
  return items.filter((_, i) => {
    const { type, job } = records[i] as LaneRecord
    return type === 'ended' ? excess-- > 0 : jobs.has(job)
  })
}

function itemsOf(array: Y.Array<Uint8Array>): readonly Y.Item[] {
  const items: Y.Item[] = []
  for (let item = array._start; item !== null; item = item.right) if (!item.deleted) items.push(item)
  return items
}

function bytesOf(item: Y.Item): Uint8Array {
  return (item.content as Y.ContentBinary).content
}

function stateOf(document: ReplicatedDocument): string {
  const clocks = [...document.doc.store.clients.keys()].map(
    (one) => `${one}:${Y.getState(document.doc.store, one)}`,
  )
  return `${document.deleted} ${clocks.join(' ')}`
}
