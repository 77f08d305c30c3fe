import { type Clock, type PeerId, type ReplicaNetwork, type Rng, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import { type DocumentName, laneName, type ReplicatedDocument } from './document.ts'
import type { Documents } from './documents.ts'
import { type EarlyError, ForkError, UnclaimedError } from './filter.ts'
import type { ReplicaLimits } from './limits.ts'
import { encodePieces, type StateVector } from './pieces.ts'
import { type DigestEntry, encodeReplicaMessage, type ReplicaMessage } from './protocol.ts'
import { sealMark } from './seals.ts'

export interface SyncOptions {
  readonly self: PeerId
  readonly clock: Clock
  readonly rng: Rng
  readonly network: ReplicaNetwork
  readonly documents: Documents
  readonly limits: ReplicaLimits
  readonly isSigned: boolean
  /** Called before each periodic sync: the moment to drop what nobody needs. */
  onRound(): void
}

type Digest = Extract<ReplicaMessage, { readonly type: 'digest' }>

/**
 * Brings replicas together: a digest says what one has, the answer is what it lacks. It runs with each
 * member that joins (one at a time, so that a newcomer does not get everything from everybody), with the
 * sender of an update that left a hole, and now and then with a random member.
 */
export interface Sync {
  memberJoined(peer: PeerId): void
  memberLeft(peer: PeerId): void
  /** Answers a digest. Throws `E_CRDT_UPDATE` for a state vector that cannot be read. */
  answer(from: PeerId, digest: Digest): void
  synced(from: PeerId, id: number): void
  /**
   * An update was dropped as something before it is missing, in its document or in its writer's lane.
   * @returns `false` for a hole while a sync with the peer is under way: no wonder, then
   */
  gap(from: PeerId, name: DocumentName, error: EarlyError): boolean
  close(): void
}

export function createSync(options: SyncOptions): Sync {
  return new DigestSync(options)
}

interface Visit {
  readonly peer: PeerId
  readonly wantsDigest: boolean
  triesLeft: number
  /** Number of the last digest message. */
  id: number
}

interface Gap {
  readonly peer: PeerId
  readonly name: DocumentName
  readonly client: number
  readonly clock: number
  /** Ask for the lane of its writer, too: its claim of the job is missing. */
  readonly needsLane: boolean
  /** Ask for all of it: what is known here may be another history. */
  readonly needsWhole: boolean
  triesLeft: number
}

class DigestSync implements Sync {
  readonly #options: SyncOptions
  /** Members to sync with; the first is being visited. */
  readonly #visits: Visit[] = []
  readonly #gaps = new Map<string, Gap>()
  #isVisiting = false
  #cancelVisit: () => void = nothing
  #cancelGaps: (() => void) | null = null
  #cancelRound: () => void = nothing
  #nextId = 1

  constructor(options: SyncOptions) {
    this.#options = options
    this.#scheduleRound()
  }

  memberJoined(peer: PeerId): void {
    this.#enqueue(peer, false, this.#options.limits.syncTries)
  }

  memberLeft(peer: PeerId): void {
    for (const [key, gap] of this.#gaps) if (gap.peer === peer) this.#gaps.delete(key)
    const at = this.#visits.findIndex((visit) => visit.peer === peer)
    if (at < 0) return
    this.#visits.splice(at, 1)
    if (at === 0) this.#leave()
  }

  answer(from: PeerId, digest: Digest): void {
    const { documents } = this.#options
    const entries = new Map(digest.entries.map((entry) => [entry.name, entry]))
    const ours = documents.all().filter(({ name }) => isMeant(digest, entries, name))
    // Lanes first: a reader then knows of jobs and claims before it sees tasks.
    for (const kind of ['lane', 'job'] as const) {
      for (const document of ours) if (document.kind === kind) this.#send(from, document, entries)
    }
    const dropped = digest.entries.filter(({ name }) => name.startsWith('job:') && documents.isDropped(name))
    const wanted = dropped.filter(({ state }) => state !== null).map(({ name }) => name)
    if (wanted.length > 0) this.#post(from, { type: 'dropped', names: wanted })
    this.#post(from, { type: 'synced', id: digest.id })
    if (digest.wantsDigest) this.#sendDigest(from, false)
  }

  synced(from: PeerId, id: number): void {
    const visit = this.#visits[0]
    if (visit?.peer !== from || visit.id !== id || !this.#isVisiting) return
    this.#visits.shift()
    this.#leave()
    this.#askForGaps((gap) => gap.peer === from)
  }

  gap(from: PeerId, name: DocumentName, error: EarlyError): boolean {
    const key = `${from} ${name}`
    const isFresh = !this.#gaps.has(key)
    const { client, clock } = error
    const needsLane = error instanceof UnclaimedError
    const needsWhole = error instanceof ForkError
    // Who never claims, or forges, is not asked for ever.
    const triesBefore = needsLane || needsWhole ? this.#gaps.get(key)?.triesLeft : undefined
    const triesLeft = triesBefore ?? this.#options.limits.syncTries
    this.#gaps.set(key, { peer: from, name, client, clock, needsLane, needsWhole, triesLeft })
    const isAwaited = this.#visits.some(({ peer }) => peer === from)
    if (isFresh && !isAwaited) this.#askForGaps((gap) => gap.peer === from && gap.name === name)
    this.#scheduleGaps()
    return !isAwaited || needsLane || needsWhole
  }

  close(): void {
    this.#cancelVisit()
    this.#cancelGaps?.()
    this.#cancelRound()
    this.#visits.length = 0
    this.#gaps.clear()
  }

  #enqueue(peer: PeerId, wantsDigest: boolean, triesLeft: number): void {
    if (this.#visits.some((visit) => visit.peer === peer)) return
    this.#visits.push({ peer, wantsDigest, triesLeft, id: 0 })
    if (!this.#isVisiting) this.#visitNext()
  }

  #visitNext(): void {
    const { clock, limits } = this.#options
    const visit = this.#visits[0]
    if (visit === undefined) return
    this.#isVisiting = true
    visit.triesLeft--
    visit.id = this.#sendDigest(visit.peer, visit.wantsDigest)
    this.#cancelVisit = clock.setTimer(clock.now() + limits.syncTimeoutMs, () => {
      this.#visits.shift()
      if (visit.triesLeft > 0) this.#visits.push(visit)
      this.#leave()
    })
  }

  #leave(): void {
    this.#cancelVisit()
    this.#cancelVisit = nothing
    this.#isVisiting = false
    this.#visitNext()
  }

  /** Sends one digest of everything, in parts; returns the number of the last part. */
  #sendDigest(to: PeerId, wantsDigest: boolean): number {
    const entries = this.#digestFor(to)
    const size = this.#options.limits.digestEntries
    for (let start = 0; ; start += size) {
      const isLast = start + size >= entries.length
      const id = this.#nextId++
      this.#post(to, {
        type: 'digest',
        id,
        from: start === 0 ? '' : (entries[start] as DigestEntry).name,
        to: isLast ? '' : (entries[start + size] as DigestEntry).name,
        isPartial: false,
        wantsDigest: wantsDigest && isLast,
        entries: entries.slice(start, start + size),
      })
      if (isLast) return id
    }
  }

  #digestFor(to: PeerId): readonly DigestEntry[] {
    const { documents, network } = this.#options
    const entries = new Map(documents.all().map((document) => [document.name, digestOf(document)]))
    // Present members answer for their lanes themselves, and what was dropped here must not come back.
    const others = network.members().filter((peer) => peer !== to)
    for (const name of [...others.map(laneName), ...documents.dropped()]) {
      entries.set(name, { name, state: null, deleted: 0, mark: 0 })
    }
    return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #send(to: PeerId, document: ReplicatedDocument, entries: ReadonlyMap<string, DigestEntry>): void {
    const { name } = document
    const entry = entries.get(name)
    if (entry?.state === null) return
    const { isSigned, limits, self } = this.#options
    const have: StateVector = entry === undefined ? noVector : readState(name, entry.state)
    // A lane's seal is of all of it.
    const isWhole = isSigned && document.kind === 'lane'
    const isForeign = isWhole && document.key !== self
    const withDeletions = isForeign || document.deleted > (entry?.deleted ?? 0)
    const pieceBytes = isWhole ? Number.POSITIVE_INFINITY : limits.pieceBytes
    const pieces = (vector: StateVector): readonly Uint8Array[] =>
      encodePieces(document, vector, withDeletions, pieceBytes, isSigned)
    const isFork = entry !== undefined && entry.mark !== sealMark(document) && isEqualTo(document, have)
    const updates = pieces(isFork ? noVector : have)
    for (const update of updates) this.#post(to, { type: 'state', name, update })
  }

  #askForGaps(isMeant: (gap: Gap) => boolean): void {
    const wanted = new Map<PeerId, DocumentName[]>()
    const whole = new Set<DocumentName>()
    for (const [key, gap] of this.#gaps) {
      if (!isMeant(gap)) continue
      const document = this.#options.documents.get(gap.name)
      const isClosed = document !== undefined && Y.getState(document.doc.store, gap.client) > gap.clock
      if (isClosed || gap.triesLeft-- <= 0) this.#gaps.delete(key)
      else {
        if (gap.needsWhole) whole.add(gap.name)
        const names = gap.needsLane ? [laneName(gap.peer), gap.name] : [gap.name]
        wanted.set(gap.peer, [...(wanted.get(gap.peer) ?? []), ...names])
      }
    }
    for (const [peer, names] of wanted) this.#ask(peer, names, whole)
  }

  #ask(peer: PeerId, names: readonly DocumentName[], whole: ReadonlySet<DocumentName>): void {
    const entries = names.map((name) => {
      const document = this.#options.documents.get(name)
      const isUnknown = document === undefined || whole.has(name)
      return isUnknown ? { name, state: noState, deleted: 0, mark: 0 } : digestOf(document)
    })
    const id = this.#nextId++
    const digest = { type: 'digest', id, from: '', to: '', isPartial: true, wantsDigest: false } as const
    this.#post(peer, { ...digest, entries })
  }

  #scheduleGaps(): void {
    const { clock, limits } = this.#options
    this.#cancelGaps ??= clock.setTimer(clock.now() + limits.syncTimeoutMs, () => {
      this.#cancelGaps = null
      this.#askForGaps(({ peer }) => !this.#visits.some((visit) => visit.peer === peer))
      if (this.#gaps.size > 0) this.#scheduleGaps()
    })
  }

  #scheduleRound(): void {
    const { clock, rng, limits } = this.#options
    const { antiEntropyMinMs, antiEntropyMaxMs } = limits
    const pauseMs = antiEntropyMinMs + rng.next() * (antiEntropyMaxMs - antiEntropyMinMs)
    this.#cancelRound = clock.setTimer(clock.now() + pauseMs, () => {
      this.#options.onRound()
      const members = this.#options.network.members()
      const peer = members[Math.floor(rng.next() * members.length)]
      if (peer !== undefined) this.#enqueue(peer, true, 1)
      this.#scheduleRound()
    })
  }

  #post(to: PeerId, message: ReplicaMessage): void {
    this.#options.network.send(to, encodeReplicaMessage(message))
  }
}

function isMeant(digest: Digest, entries: ReadonlyMap<string, DigestEntry>, name: DocumentName): boolean {
  if (digest.isPartial) return entries.has(name)
  return name >= digest.from && (digest.to === '' || name < digest.to)
}

function digestOf(document: ReplicatedDocument): DigestEntry {
  return {
    name: document.name,
    state: Y.encodeStateVector(document.doc),
    deleted: document.deleted,
    mark: sealMark(document),
  }
}

function readState(name: DocumentName, bytes: Uint8Array): StateVector {
  try {
    return Y.decodeStateVector(bytes)
  } catch (cause) {
    throw new ShoalError('E_CRDT_UPDATE', `Cannot answer for "${name}" as its state vector is malformed`, {
      cause,
    })
  }
}

/** Whether a state vector is that of the document. */
function isEqualTo({ doc }: ReplicatedDocument, vector: StateVector): boolean {
  const { clients } = doc.store
  return (
    clients.size === vector.size && [...vector].every(([one, clock]) => Y.getState(doc.store, one) === clock)
  )
}

const noVector: StateVector = new Map()
const noState = new Uint8Array(1)

function nothing(): void {}
