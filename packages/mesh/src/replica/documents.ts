import { compareIds, type JobId, type PeerId, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import { sha256Hex } from '../membership/sha256.ts'
import {
  type DocumentHooks,
  type DocumentName,
  jobArrays,
  laneArrays,
  laneName,
  measureDocument,
  openDocument,
  parseName,
  type ReplicatedDocument,
} from './document.ts'
import { EquivocationError, GapError, type Inspection, inspectUpdate, UnclaimedError } from './filter.ts'
import { unpackLaneRecord } from './lane.ts'
import type { ReplicaLimits } from './limits.ts'
import { createProofs, type Proofs, writerOf } from './proofs.ts'
import { isSeal, type ReplicaSigning } from './seals.ts'
import { createWriters, type Writers } from './writers.ts'

export interface DocumentsOptions extends DocumentHooks {
  readonly clientId: number
  readonly limits: ReplicaLimits
  /** `null`: members are trusted for what they relay. */
  readonly signing: ReplicaSigning | null
  now(): number
  isPresent(peer: PeerId): boolean
  /** Entries arrived in the document. */
  onArrived(document: ReplicatedDocument): void
  /** The document was forgotten here. */
  onDropped(name: DocumentName): void
}

/** The documents that this replica holds, and the tombstones of those that it dropped. */
export interface Documents {
  readonly writers: Writers
  get(name: DocumentName): ReplicatedDocument | undefined
  /** All, in order of name. */
  all(): readonly ReplicatedDocument[]
  /**
   * The document, made when needed.
   * @throws ShoalError `E_QUOTA` when there are too many
   */
  open(name: DocumentName): ReplicatedDocument
  /**
   * Checks an update (see filter.ts) and applies it.
   * @param isDirect `true`: `from` wrote it just now; `false`: it answers a sync
   * @returns a promise when signatures are to be checked first; it rejects as the call throws
   * @throws ShoalError with the code of the first rule that it breaks; the document is then unchanged
   */
  apply(name: DocumentName, update: Uint8Array, from: PeerId, isDirect: boolean): Promise<void> | undefined
  /** Applies what this replica stored itself in an earlier start. */
  restore(name: DocumentName, updates: readonly Uint8Array[]): void
  drop(name: DocumentName): void
  isDropped(name: DocumentName): boolean
  dropped(): readonly DocumentName[]
  /** Takes a lane's tombstone away: its member is back. */
  undrop(name: DocumentName): void
  /** By document that holds anything; equal for equal contents, which state vectors do not show. */
  contentHashes(): ReadonlyMap<DocumentName, string>
  close(): void
}

export function createDocuments(options: DocumentsOptions): Documents {
  return new DocumentSet(options)
}

class DocumentSet implements Documents {
  readonly writers: Writers
  readonly #options: DocumentsOptions
  readonly #held = new Map<DocumentName, ReplicatedDocument>()
  readonly #tombstones = new Map<DocumentName, number>()
  /** `null`: members are trusted for what they relay. */
  readonly #proofs: Proofs | null

  constructor(options: DocumentsOptions) {
    this.#options = options
    const { limits, signing } = options
    this.writers = createWriters(limits.clientsPerPeer)
    this.#proofs = signing === null ? null : createProofs(signing, this.writers)
  }

  get(name: DocumentName): ReplicatedDocument | undefined {
    return this.#held.get(name)
  }

  all(): readonly ReplicatedDocument[] {
    return [...this.#held.values()].sort((a, b) => compareIds(a.name, b.name))
  }

  open(name: DocumentName): ReplicatedDocument {
    const known = this.#held.get(name)
    if (known !== undefined) return known
    const { limits, clientId } = this.#options
    if (this.#held.size >= limits.documents) {
      const reason = `at most ${limits.documents} documents are held`
      throw new ShoalError(
        'E_QUOTA',
        `Cannot open "${name}" as ${reason}: current value is ${this.#held.size}`,
      )
    }
    const document = openDocument(name, clientId, this.#options)
    this.#held.set(name, document)
    return document
  }

  apply(name: DocumentName, update: Uint8Array, from: PeerId, isDirect: boolean): Promise<void> | undefined {
    if (!this.#mayTake(name, from, isDirect)) return
    const { limits, clientId } = this.#options
    const document = this.open(name)
    try {
      const rule = { from, isDirect, selfClient: clientId, updateBytes: limits.updateBytes }
      const inspection = inspectUpdate(document, update, rule, this.writers)
      const { isNew, conflict } = inspection
      if (!isNew && (conflict === null || this.#proofs === null)) return
      this.#checkClaim(document, inspection, from)
      checkQuota(document, update, limits)
      if (this.#proofs !== null) {
        const proving = this.#proofs.check(document, update, inspection, from, isDirect)
        if (proving !== undefined) return proving.then(() => this.apply(name, update, from, isDirect))
        if (conflict !== null) {
          throw new EquivocationError(name, writerOf(this.writers, document, conflict, inspection), conflict)
        }
      }
      for (const [client, peer] of inspection.writers) this.writers.bind(client, peer)
      applyChecked(document, update, from)
    } finally {
      // Nothing came of it: a refused update must not leave a document behind.
      if (document.doc.store.clients.size === 0) this.#forget(document)
    }
    this.#options.onArrived(document)
    return
  }

  restore(name: DocumentName, updates: readonly Uint8Array[]): void {
    const document = this.open(name)
    const { doc } = document
    const applyAll = (): void => {
      for (const update of updates) Y.applyUpdate(doc, update)
    }
    document.isRestoring = true
    try {
      Y.transact(doc, applyAll, 'restore', false)
    } finally {
      document.isRestoring = false
      // A write that the storage lost leaves a hole; the others fill it.
      doc.store.pendingStructs = null
      doc.store.pendingDs = null
    }
    bindRestored(document, this.writers)
    this.#options.onArrived(document)
  }

  drop(name: DocumentName): void {
    const { limits } = this.#options
    const now = this.#options.now()
    this.#tombstones.delete(name)
    this.#tombstones.set(name, now)
    for (const [oldest, at] of this.#tombstones) {
      if (this.#tombstones.size <= limits.tombstones && now - at < limits.tombstoneMs) break
      this.#tombstones.delete(oldest)
    }
    const document = this.#held.get(name)
    if (document !== undefined) this.#forget(document)
    this.#options.onDropped(name)
  }

  isDropped(name: DocumentName): boolean {
    return this.#tombstones.has(name)
  }

  dropped(): readonly DocumentName[] {
    return [...this.#tombstones.keys()]
  }

  undrop(name: DocumentName): void {
    this.#tombstones.delete(name)
  }

  contentHashes(): ReadonlyMap<DocumentName, string> {
    const hashes = new Map<DocumentName, string>()
    for (const document of this.all()) {
      const text = describe(document)
      if (text !== '') hashes.set(document.name, sha256Hex(text))
    }
    return hashes
  }

  close(): void {
    for (const document of this.all()) this.#forget(document)
  }

  /** `false`: not wanted, though nothing is wrong with it. */
  #mayTake(name: DocumentName, from: PeerId, isDirect: boolean): boolean {
    const parsed = parseName(name)
    const isOthersLane = parsed?.kind === 'lane' && parsed.key !== from
    if (parsed === null || (isDirect && isOthersLane)) {
      throw new ShoalError('E_CRDT_LANE', `Cannot take an update of ${from} as it is for "${name}"`)
    }
    // A present member answers for its lane itself; another may be behind, or older than its return.
    if (isOthersLane && this.#options.isPresent(parsed.key as PeerId)) return false
    if (!this.#tombstones.has(name)) return true
    if (parsed.kind === 'job' || isOthersLane) return false
    this.#tombstones.delete(name)
    return true
  }

  /**
   * A job's document takes entries from those who submitted or claimed the job in their lanes. Entries that
   * a member relays are not held to it: the lane of their writer may be gone by then.
   */
  #checkClaim(document: ReplicatedDocument, { firsts, writers }: Inspection, from: PeerId): void {
    if (document.kind === 'lane' || document.claimants.has(from)) return
    for (const [client, clock] of firsts) {
      if ((this.writers.of(client) ?? writers.get(client)) !== from) continue
      const lane = this.#held.get(laneName(from))
      if (lane === undefined || !hasClaim(lane, document.key as JobId)) {
        throw new UnclaimedError(document.name, from, client, clock)
      }
      document.claimants.add(from)
      return
    }
  }

  #forget(document: ReplicatedDocument): void {
    this.#held.delete(document.name)
    document.doc.destroy()
  }
}

/** From the end: a claim is written right before what it allows. */
function hasClaim(lane: ReplicatedDocument, job: JobId): boolean {
  const entries = lane.array('jobs').toArray()
  for (let at = entries.length - 1; at >= 0; at--) {
    try {
      const record = unpackLaneRecord(entries[at] as Uint8Array, lane.key as PeerId)
      if (record.job === job && record.type !== 'ended') return true
    } catch {
      // Told as refused when it arrived.
    }
  }
  return false
}

function checkQuota(document: ReplicatedDocument, update: Uint8Array, limits: ReplicaLimits): void {
  const bytesMax = document.kind === 'lane' ? limits.laneBytes : limits.jobBytes
  if (document.sizeEstimate + update.length <= bytesMax) return
  const size = measureDocument(document) + update.length
  if (size <= bytesMax) return
  const reason = `it must have at most ${bytesMax} bytes`
  throw new ShoalError('E_QUOTA', `Cannot let "${document.name}" grow as ${reason}: current value is ${size}`)
}

function applyChecked(document: ReplicatedDocument, update: Uint8Array, from: PeerId): void {
  const { doc, name } = document
  try {
    Y.applyUpdate(doc, update, from)
  } catch (cause) {
    throw new ShoalError('E_CRDT_UPDATE', `Cannot apply an update to "${name}" as it fails half-way`, {
      cause,
    })
  }
  if (doc.store.pendingStructs === null && doc.store.pendingDs === null) return
  // Parked structures cost quadratic time and hide later ones; asking again is cheap.
  doc.store.pendingStructs = null
  doc.store.pendingDs = null
  throw new GapError(name, 0, 0, 0)
}

/** A stored document says by itself whose each client id is. */
function bindRestored(document: ReplicatedDocument, writers: Writers): void {
  for (const [client, structs] of document.doc.store.clients) {
    if (document.kind === 'lane') {
      writers.bind(client, document.key as PeerId)
      continue
    }
    const first = structs[0]
    if (!(first instanceof Y.Item) || !(first.content instanceof Y.ContentBinary)) continue
    writers.bind(client, new TextDecoder().decode(first.content.content) as PeerId)
  }
}

function describe(document: ReplicatedDocument): string {
  const arrays = document.kind === 'lane' ? laneArrays : jobArrays
  const lines: string[] = []
  for (const array of arrays) {
    const entries = document.array(array).toArray()
    for (const entry of entries) if (!isSeal(entry)) lines.push(`${array} ${sha256Hex(entry)}`)
  }
  return lines.join('\n')
}
