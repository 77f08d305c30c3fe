import { type JobId, type OperationHash, type PeerId, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'

/** Name of a document: `lane:<peer>` or `job:<job>`. */
export type DocumentName = string

/**
 * The arrays of each kind of document, in the order in which their news is told. A lane's jobs, claims and
 * ends share one array: Yjs merges deleted entries only when they follow each other both in the array and
 * in the order of writing, and with an array for each kind some 20 bytes of every job stayed for ever.
 */
export const laneArrays = ['profile', 'jobs', 'services'] as const
export const jobArrays = ['writers', 'spec', 'done'] as const
export type ArrayName = (typeof laneArrays)[number] | (typeof jobArrays)[number]

/** An array entry that arrived, with the client id that wrote it. */
export interface Arrival {
  readonly client: number
  readonly bytes: Uint8Array
}

/** What became of the entries since the last {@link ReplicatedDocument.takeArrivals}. */
export type Arrivals = Partial<Record<ArrayName, Arrival[]>>

/**
 * One Yjs document of root-level arrays of byte strings, appended to by one peer at a time. A job's
 * document is never deleted from; a lane's writer deletes what has ended.
 */
export interface ReplicatedDocument {
  readonly name: DocumentName
  readonly kind: 'lane' | 'job'
  /** The lane's peer or the job's id. */
  readonly key: PeerId | JobId
  readonly doc: Y.Doc
  /** Bytes applied since the size was last measured: an upper bound of the live size. */
  sizeEstimate: number
  /** Deleted entries; grows only, so equal counts mean equal deletions of the one writer. */
  deleted: number
  /** Operations whose source stands in this job's document. */
  readonly operations: Set<OperationHash>
  /** Members that are known to have submitted or claimed this job. */
  readonly claimants: Set<PeerId>
  /** What is applied now came from the storage: it is not stored again. */
  isRestoring: boolean
  /** Updates stored since the last snapshot. */
  stored: number
  array(name: ArrayName): Y.Array<Uint8Array>
  /**
   * Appends one entry as this replica's own. `Y.Array.push` walks the array from its start each time
   * (its search markers move left over everything that one client wrote in a row).
   */
  append(transaction: Y.Transaction, name: ArrayName, bytes: Uint8Array): void
  takeArrivals(): Arrivals
}

export interface DocumentHooks {
  /** This replica changed the document. */
  readonly onWritten: (document: ReplicatedDocument, update: Uint8Array) => void
  /** The document changed for whatever reason; called before {@link DocumentHooks.onWritten}. */
  readonly onChanged: (document: ReplicatedDocument, update: Uint8Array) => void
}

export function laneName(peer: PeerId): DocumentName {
  return `lane:${peer}`
}

export function jobName(job: JobId): DocumentName {
  return `job:${job}`
}

/** Takes a name apart; `null` when it names no document. */
export function parseName(
  name: string,
): { readonly kind: 'lane' | 'job'; readonly key: PeerId | JobId } | null {
  if (name.length > 300) return null
  if (name.startsWith('lane:') && name.length > 5) return { kind: 'lane', key: name.slice(5) as PeerId }
  if (name.startsWith('job:') && name.length > 4) return { kind: 'job', key: name.slice(4) as JobId }
  return null
}

/** Opens an empty document that this replica would write under `clientId`. */
export function openDocument(name: DocumentName, clientId: number, hooks: DocumentHooks): ReplicatedDocument {
  const parsed = parseName(name)
  if (parsed === null) throw new ShoalError('E_CRDT_LANE', `Cannot open a document as its name is "${name}"`)
  const doc = new Y.Doc({ guid: name })
  // Set, not drawn: a replay of a simulation must make the same documents. Yjs would draw a new id on a
  // conflict; the write filter never lets one in.
  doc.clientID = clientId
  const tails = new Map<ArrayName, Y.ID>()
  let arrivals: Arrivals = {}
  const document: ReplicatedDocument = {
    name,
    ...parsed,
    doc,
    sizeEstimate: 0,
    deleted: 0,
    operations: new Set(),
    claimants: new Set(),
    isRestoring: false,
    stored: 0,
    array: (array) => doc.getArray<Uint8Array>(array),
    append(transaction, name, bytes) {
      const array = doc.getArray<Uint8Array>(name)
      const tail = tails.get(name)
      let left = tail === undefined ? array._start : Y.getItem(doc.store, tail)
      while (left?.right) left = left.right
      const id = Y.createID(clientId, Y.getState(doc.store, clientId))
      tails.set(name, id)
      const content = new Y.ContentBinary(bytes)
      new Y.Item(id, left, left?.lastId ?? null, null, null, array, null, content).integrate(transaction, 0)
    },
    takeArrivals() {
      const taken = arrivals
      arrivals = {}
      return taken
    },
  }
  const names = parsed.kind === 'lane' ? laneArrays : jobArrays
  const byArray = new Map<unknown, ArrayName>(names.map((array) => [document.array(array), array]))
  doc.on('afterTransaction', (transaction: Y.Transaction) => {
    for (const ranges of transaction.deleteSet.clients.values()) {
      for (const range of ranges) document.deleted += range.len
    }
    if (transaction.local) return
    for (const item of newItems(transaction)) {
      const array = byArray.get(item.parent)
      if (array === undefined || !(item.content instanceof Y.ContentBinary)) continue
      arrivals[array] ??= []
      arrivals[array].push({ client: item.id.client, bytes: item.content.content })
    }
  })
  doc.on('update', (update: Uint8Array, _origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
    document.sizeEstimate += update.length
    hooks.onChanged(document, update)
    if (transaction.local) hooks.onWritten(document, update)
  })
  return document
}

/** Exact encoded size in bytes; costs a full encoding. */
export function measureDocument(document: ReplicatedDocument): number {
  document.sizeEstimate = Y.encodeStateAsUpdate(document.doc).length
  return document.sizeEstimate
}

/**
 * What a transaction added. An event's own `changes` would walk the whole array for each update, which
 * makes a long job quadratic.
 */
function* newItems(transaction: Y.Transaction): Generator<Y.Item> {
  for (const [client, after] of transaction.afterState) {
    const before = transaction.beforeState.get(client) ?? 0
    if (after <= before) continue
    const structs = transaction.doc.store.clients.get(client) ?? []
    for (let i = Y.findIndexSS(structs as Y.Item[], before); i < structs.length; i++) {
      const struct = structs[i]
      if (struct instanceof Y.Item) yield struct
    }
  }
}
