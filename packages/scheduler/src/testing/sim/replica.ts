import {
  type Clock,
  type JobId,
  PackedColumn,
  type PeerId,
  type Replica,
  type ReplicaNetwork,
  type ReplicatedRecord,
  type Rng,
  type Unsubscribe,
} from '../../index.ts'
import { frozenCopy } from './copy.ts'
import { hashText } from './rng.ts'
import type { SimStore } from './store.ts'

/** What a world gives to whatever implements its replicas. */
export interface SimReplicaOptions {
  readonly self: PeerId
  readonly epoch: number
  /** Different for each start of each peer, and from the seed: what a Yjs document needs to replay. */
  readonly clientId: number
  readonly network: ReplicaNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly store: SimStore
  /** The world's table of what fake replicas say to each other. */
  readonly post: SimPost
}

/** A replica that a world can look into at the end. */
export interface SimReplica extends Replica {
  /** Hash of the contents of each document, by name. */
  contentHashes(): ReadonlyMap<string, string>
}

export type SimReplicaFactory = (options: SimReplicaOptions) => SimReplica

/** Plain data in place of bytes: messages carry its number, which keeps fake worlds fast. */
export interface SimPost {
  put(value: unknown): Uint8Array
  /** `undefined` for bytes that no `put` gave. */
  take(bytes: Uint8Array): unknown
}

const postMagic = 0x5304a1

export function createPost(): SimPost {
  const values: unknown[] = []
  return {
    put(value) {
      values.push(value)
      return new Uint8Array(Uint32Array.of(postMagic, values.length - 1).buffer)
    },
    take: (bytes) => {
      if (bytes.byteLength !== 8) return undefined
      const [magic, number] = new Uint32Array(bytes.slice().buffer)
      return magic === postMagic ? values[number ?? -1] : undefined
    },
  }
}

/** One writer's log in one document; `writer` names one start of one peer. */
interface Piece {
  readonly document: string
  readonly writer: string
  readonly from: number
  readonly records: readonly ReplicatedRecord[]
}

type Versions = Readonly<Record<string, Readonly<Record<string, number>>>>

type Post =
  | { readonly type: 'pieces'; readonly pieces: readonly Piece[] }
  | { readonly type: 'sync'; readonly versions: Versions; readonly isAnswer: boolean }

const antiEntropyMs = 2000

/**
 * Append-only logs, one per document and writer, that spread by sending each write once to every
 * member in the view and by comparing versions on joining, after a gap, and now and then.
 */
export function createFakeReplica(options: SimReplicaOptions): SimReplica {
  const { self, network, clock, rng, store, post } = options
  const me = `${self}@${options.epoch}`
  const documents = new Map<string, Map<string, ReplicatedRecord[]>>()
  const tombstones = new Set<string>()
  const listeners = new Set<(records: readonly ReplicatedRecord[]) => void>()
  const off: Unsubscribe[] = []
  let cancelTimer: (() => void) | null = null

  const logOf = (document: string, writer: string): ReplicatedRecord[] => {
    let logs = documents.get(document)
    if (logs === undefined) {
      logs = new Map()
      documents.set(document, logs)
    }
    let log = logs.get(writer)
    if (log === undefined) {
      log = []
      logs.set(writer, log)
    }
    return log
  }
  const keep = (piece: Piece): void => {
    try {
      store.append(piece.document, post.put(piece))
    } catch {
      // A full disk costs durability, never the work itself.
    }
  }
  /** Records that arrived before anybody listened. */
  let backlog: ReplicatedRecord[] | null = []
  const tell = (records: readonly ReplicatedRecord[]): void => {
    if (records.length === 0) return
    backlog?.push(...records)
    for (const listener of [...listeners]) listener(records)
  }
  const say = (to: PeerId, message: Post): void => network.send(to, post.put(message))
  const versions = (): Versions => {
    const all: Record<string, Record<string, number>> = {}
    for (const [document, logs] of documents) {
      const known: Record<string, number> = {}
      for (const [writer, log] of logs) known[writer] = log.length
      all[document] = known
    }
    return all
  }
  const ask = (from: PeerId, isAnswer = false): void =>
    say(from, { type: 'sync', versions: versions(), isAnswer })

  /** Takes what is new of a piece; `false`: something before it is missing. */
  const take = (piece: Piece, fresh: ReplicatedRecord[]): boolean => {
    if (tombstones.has(piece.document) || piece.writer === me) return true
    const log = logOf(piece.document, piece.writer)
    if (piece.from > log.length) return false
    const records = piece.records.slice(log.length - piece.from)
    if (records.length === 0) return true
    keep({ ...piece, from: log.length, records })
    log.push(...records)
    fresh.push(...records)
    return true
  }
  const answer = (to: PeerId, known: Versions): void => {
    const pieces: Piece[] = []
    for (const [document, logs] of documents) {
      for (const [writer, log] of logs) {
        const from = known[document]?.[writer] ?? 0
        if (from < log.length) pieces.push({ document, writer, from, records: log.slice(from) })
      }
    }
    if (pieces.length > 0) say(to, { type: 'pieces', pieces })
  }
  const isBehind = (known: Versions): boolean =>
    Object.entries(known).some(
      ([document, writers]) =>
        !tombstones.has(document) &&
        Object.entries(writers).some(
          ([writer, length]) => writer !== me && length > (documents.get(document)?.get(writer)?.length ?? 0),
        ),
    )

  off.push(
    network.onMessage((from, bytes) => {
      const message = post.take(bytes) as Post | undefined
      if (message === undefined) return
      if (message.type === 'sync') {
        answer(from, message.versions)
        if (!message.isAnswer && isBehind(message.versions)) ask(from, true)
        return
      }
      const fresh: ReplicatedRecord[] = []
      let isComplete = true
      for (const piece of message.pieces) isComplete = take(piece, fresh) && isComplete
      if (!isComplete) ask(from)
      tell(fresh)
    }),
    network.onMember((peer, isPresent) => {
      if (isPresent) ask(peer)
    }),
  )
  const sweep = (): void => {
    const members = network.members()
    const member = members[Math.floor(rng.next() * members.length)]
    if (member !== undefined) ask(member)
    cancelTimer = clock.setTimer(clock.now() + antiEntropyMs, sweep)
  }
  cancelTimer = clock.setTimer(clock.now() + antiEntropyMs, sweep)
  clock.defer(() => {
    const fresh: ReplicatedRecord[] = []
    for (const entries of store.load().values()) {
      for (const bytes of entries) take(post.take(bytes) as Piece, fresh)
    }
    tell(fresh)
  })

  return {
    write(records) {
      const pieces = new Map<string, { from: number; records: ReplicatedRecord[] }>()
      for (const record of frozenCopy(records)) {
        const document = documentOf(record, self)
        if (tombstones.has(document)) continue
        const log = logOf(document, me)
        let piece = pieces.get(document)
        if (piece === undefined) {
          piece = { from: log.length, records: [] }
          pieces.set(document, piece)
        }
        log.push(record)
        piece.records.push(record)
      }
      const written = [...pieces].map(([document, piece]) => ({ document, writer: me, ...piece }))
      for (const piece of written) keep(piece)
      const message: Post = { type: 'pieces', pieces: written }
      for (const member of network.members()) say(member, message)
    },
    onRecords(listener) {
      listeners.add(listener)
      const waiting = backlog
      backlog = null
      if (waiting !== null) clock.defer(() => waiting.length > 0 && listener(waiting))
      return () => {
        listeners.delete(listener)
      }
    },
    dropJob(job: JobId) {
      const document = `job:${job}`
      tombstones.add(document)
      documents.delete(document)
      store.drop(document)
    },
    contentHashes() {
      const hashes = new Map<string, string>()
      for (const [document, logs] of documents) {
        const lines = [...logs]
          .filter(([, log]) => log.length > 0)
          .map(([writer, log]) => `${writer} ${log.map(contentOf).join(' ')}`)
        if (lines.length > 0) hashes.set(document, hashText(lines.sort().join('\n')).toString(16))
      }
      return hashes
    },
    close() {
      for (const unsubscribe of off) unsubscribe()
      listeners.clear()
      cancelTimer?.()
    },
  }
}

function documentOf(record: ReplicatedRecord, self: PeerId): string {
  const isJobs = record.type === 'specs' || record.type === 'outcomes' || record.type === 'operations'
  return isJobs || record.type === 'range' ? `job:${record.job}` : `lane:${self}`
}

/** Records are frozen, and the same ones stand in every fake replica of a world. */
const contents = new WeakMap<ReplicatedRecord, string>()

/** A text that tells records apart by content. */
function contentOf(record: ReplicatedRecord): string {
  const known = contents.get(record)
  if (known !== undefined) return known
  const content = toText(record)
  contents.set(record, content)
  return content
}

function toText(record: ReplicatedRecord): string {
  return JSON.stringify(record, (_key, value) => {
    const plain = value instanceof PackedColumn ? value.pack() : value
    return plain instanceof Uint8Array ? Array.from(plain).join('.') : plain
  })
}
