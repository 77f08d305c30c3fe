import { type PeerId, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import { sha256 } from '../membership/sha256.ts'
import { type ArrayName, jobArrays, laneArrays, type ReplicatedDocument } from './document.ts'

/**
 * Signs what this replica writes and checks what others relay. Answers may come at once or later.
 * Without one (simulations) nothing is signed, and members are trusted for what they relay.
 */
export interface ReplicaSigning {
  /** Name of the room: a signature of one room says nothing in another. */
  readonly room: string
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Whether a public key is that of a peer. */
  isKeyOf(publicKey: Uint8Array, peer: PeerId): boolean
  sign(bytes: Uint8Array): Promise<Uint8Array> | Uint8Array
  verify(publicKey: Uint8Array, signature: Uint8Array, bytes: Uint8Array): Promise<boolean> | boolean
}

/** An entry before it is written, with where it goes. */
export interface Entry {
  readonly array: ArrayName
  readonly bytes: Uint8Array
}

/** A signature that is still to be checked. */
export interface Proof {
  readonly writer: PeerId
  readonly publicKey: Uint8Array
  readonly signature: Uint8Array
  readonly message: Uint8Array
}

/**
 * A seal is the last entry of each transaction: the writer's signature over room, document, client id,
 * clock (the sequence) and `head`. Layout: mark, public key, signature, head, then for lanes the client
 * ids and clocks that it covers, 4 bytes each.
 * - In a job's document the head of a seal is the hash of the head before it and of the entries since: the
 *   latest signature vouches for all that came before.
 * - Entries of a lane are deleted in time, so there the head is the hash of all that lives. Each
 *   transaction replaces the seal.
 */
const mark = 0x73
const keyAt = 1
const signatureAt = 33
const headAt = 97
const coverAt = 129
const noHead = new Uint8Array(32)
const encoder = new TextEncoder()

/** No packed batch or record starts with the mark. */
export function isSeal(bytes: Uint8Array): boolean {
  return bytes[0] === mark && bytes.length >= coverAt
}

/** What is to be signed for a transaction, and the entry that holds the signature. */
export interface Draft {
  readonly message: Uint8Array
  sealed(signature: Uint8Array): Entry
}

/** The seal of entries that follow what this replica has written in a job's document. */
export function draftJobSeal(
  document: ReplicatedDocument,
  client: number,
  entries: readonly Entry[],
  signing: ReplicaSigning,
): Draft {
  const have = Y.getState(document.doc.store, client)
  const head = hashEntries(lastHead(document, client, have), entries)
  return draft(document, client, have + entries.length, head, signing, 'writers', [])
}

/** The seal of a lane as it is going to be: without `deleted`, and with `entries` at its end. */
export function draftLaneSeal(
  document: ReplicatedDocument,
  client: number,
  deleted: ReadonlySet<Y.Item>,
  entries: readonly Entry[],
  signing: ReplicaSigning,
): Draft {
  const { store } = document.doc
  const tops = new Map([...store.clients.keys()].map((one) => [one, Y.getState(store, one)]))
  const have = tops.get(client) ?? 0
  const clock = have + entries.length
  tops.set(client, clock + 1)
  const cover = [...tops].sort((a, b) => a[0] - b[0])
  const live = liveEntries(document, new Map(cover), deleted)
  const added = entries.map((entry, i) => ({ ...entry, client, clock: have + i }))
  const head = hashLive([...live, ...added].sort(byPlace))
  return draft(document, client, clock, head, signing, 'jobs', cover)
}

/** Items of a lane whose place a new seal takes. */
export function laneSeals(document: ReplicatedDocument): readonly Y.Item[] {
  return liveItems(document).filter(({ content }) => isSeal((content as Y.ContentBinary).content))
}

/**
 * What has to be checked before relayed entries of one client id of a job's document may be believed.
 * @param items from the update, in order, without holes
 * @throws ShoalError `E_SIGNATURE` when they do not end with a seal, or a seal does not fit what it seals
 */
export function proveJob(
  document: ReplicatedDocument,
  items: readonly Y.Item[],
  arrayOf: (item: Y.Item) => string,
  writer: PeerId,
  signing: ReplicaSigning,
): Proof {
  const { client, clock } = (items[0] as Y.Item).id
  let { head, since } = lastRun(document, client, clock)
  let last: { readonly bytes: Uint8Array; readonly clock: number } | null = null
  for (const item of items) {
    const { content } = item.content as Y.ContentBinary
    if (item.id.clock === 0 || !isSeal(content)) {
      since.push({ array: arrayOf(item) as ArrayName, bytes: content })
      last = null
      continue
    }
    head = hashEntries(head, since)
    since = []
    last = { bytes: content, clock: item.id.clock }
    if (!isEqual(content.subarray(headAt, coverAt), head))
      throw unproved(document, writer, 'its seal is of other entries')
  }
  if (last === null) throw unproved(document, writer, 'no seal follows its last entry')
  return proofOf(document, writer, client, last.clock, last.bytes, signing)
}

/**
 * As {@link proveJob}, for a lane as it is after the update: each client id of `clients` needs a seal that
 * covers it up to where it is.
 */
export function proveLane(
  document: ReplicatedDocument,
  clients: Iterable<number>,
  signing: ReplicaSigning,
): readonly Proof[] {
  const writer = document.key as PeerId
  const proofs: Proof[] = []
  const covered = new Map<number, number>()
  for (const item of laneSeals(document)) {
    const bytes = (item.content as Y.ContentBinary).content
    const cover = readCover(bytes)
    const live = hashLive(liveEntries(document, cover, new Set()))
    if (!isEqual(bytes.subarray(headAt, coverAt), live)) continue
    for (const [client, top] of cover) covered.set(client, Math.max(top, covered.get(client) ?? 0))
    proofs.push(proofOf(document, writer, item.id.client, item.id.clock, bytes, signing))
  }
  for (const client of clients) {
    if ((covered.get(client) ?? 0) < Y.getState(document.doc.store, client)) {
      throw unproved(document, writer, 'no seal fits what it says')
    }
  }
  return proofs
}

/**
 * Short text that differs when two replicas hold different seals: with equal state vectors, that shows
 * that a writer signed two histories. 0 = no seals.
 */
export function sealMark(document: ReplicatedDocument): number {
  let sum = 0
  for (const client of document.doc.store.clients.keys()) {
    const structs = document.doc.store.clients.get(client) as (Y.Item | Y.GC)[]
    const last = structs[structs.length - 1]
    if (!(last instanceof Y.Item) || !(last.content instanceof Y.ContentBinary)) continue
    const { content } = last.content
    if (!isSeal(content)) continue
    for (let i = 0; i < 4; i++) sum = (sum ^ ((content[signatureAt + i] as number) << (8 * i))) >>> 0
  }
  return sum
}

function draft(
  document: ReplicatedDocument,
  client: number,
  clock: number,
  head: Uint8Array,
  signing: ReplicaSigning,
  array: ArrayName,
  cover: readonly (readonly [number, number])[],
): Draft {
  return {
    message: messageOf(signing.room, document, client, clock, head, cover),
    sealed(signature) {
      const bytes = new Uint8Array(coverAt + cover.length * 8)
      const view = new DataView(bytes.buffer)
      bytes[0] = mark
      bytes.set(signing.publicKey, keyAt)
      bytes.set(signature, signatureAt)
      bytes.set(head, headAt)
      cover.forEach(([one, top], i) => {
        view.setUint32(coverAt + i * 8, one)
        view.setUint32(coverAt + i * 8 + 4, top)
      })
      return { array, bytes }
    },
  }
}

function messageOf(
  room: string,
  document: ReplicatedDocument,
  client: number,
  clock: number,
  head: Uint8Array,
  cover: Iterable<readonly [number, number]>,
): Uint8Array {
  const covered = [...cover].map(([one, top]) => `${one}:${top}`).join(' ')
  const text = `shoal v1 seal\n${room}\n${document.name}\n${client}\n${clock}\n${covered}\n`
  return join([encoder.encode(text), head])
}

function proofOf(
  document: ReplicatedDocument,
  writer: PeerId,
  client: number,
  clock: number,
  bytes: Uint8Array,
  signing: ReplicaSigning,
): Proof {
  const publicKey = bytes.subarray(keyAt, signatureAt)
  if (!signing.isKeyOf(publicKey, writer)) throw unproved(document, writer, 'its seal is of another peer')
  const head = bytes.subarray(headAt, coverAt)
  const message = messageOf(signing.room, document, client, clock, head, readCover(bytes))
  return { writer, publicKey, signature: bytes.subarray(signatureAt, headAt), message }
}

function readCover(bytes: Uint8Array): ReadonlyMap<number, number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const cover = new Map<number, number>()
  for (let at = coverAt; at + 8 <= bytes.length; at += 8)
    cover.set(view.getUint32(at), view.getUint32(at + 4))
  return cover
}

function lastHead(document: ReplicatedDocument, client: number, before: number): Uint8Array {
  const { head, since } = lastRun(document, client, before)
  return since.length === 0 ? head : hashEntries(head, since)
}

/** The head of the last seal of a client id below a clock, and the entries between. */
function lastRun(
  document: ReplicatedDocument,
  client: number,
  before: number,
): { readonly head: Uint8Array; readonly since: Entry[] } {
  const structs = (document.doc.store.clients.get(client) ?? []) as Y.Item[]
  const since: Entry[] = []
  for (let at = before > 0 ? Y.findIndexSS(structs, before - 1) : -1; at >= 0; at--) {
    const item = structs[at] as Y.Item
    const { content } = item.content as Y.ContentBinary
    if (item.id.clock > 0 && isSeal(content)) {
      return { head: content.subarray(headAt, coverAt), since: since.reverse() }
    }
    since.push({ array: nameOf(document, item), bytes: content })
  }
  return { head: noHead, since: since.reverse() }
}

/** Name of the array that an item of a document stands in. */
export function nameOf(document: ReplicatedDocument, item: Y.Item): ArrayName {
  const names: readonly ArrayName[] = document.kind === 'lane' ? laneArrays : jobArrays
  return names.find((name) => item.parent === document.array(name)) as ArrayName
}

function hashEntries(head: Uint8Array, entries: readonly Entry[]): Uint8Array {
  const parts = [head]
  for (const { array, bytes } of entries) parts.push(encoder.encode(`${array} ${bytes.length}\n`), bytes)
  return sha256(join(parts))
}

interface LiveEntry extends Entry {
  readonly client: number
  readonly clock: number
}

function byPlace(a: LiveEntry, b: LiveEntry): number {
  return a.client - b.client || a.clock - b.clock
}

/** In order of client id and clock. */
function hashLive(entries: readonly LiveEntry[]): Uint8Array {
  const parts = entries.flatMap(({ client, clock, array, bytes }) => [
    encoder.encode(`${client} ${clock} ${array} ${bytes.length}\n`),
    bytes,
  ])
  return sha256(join(parts))
}

/** In order of client id and clock, without seals. */
function liveEntries(
  document: ReplicatedDocument,
  cover: ReadonlyMap<number, number>,
  deleted: ReadonlySet<Y.Item>,
): readonly LiveEntry[] {
  const live: LiveEntry[] = []
  for (const item of liveItems(document)) {
    const { client, clock } = item.id
    const bytes = (item.content as Y.ContentBinary).content
    if (clock >= (cover.get(client) ?? 0) || deleted.has(item) || isSeal(bytes)) continue
    live.push({ client, clock, array: nameOf(document, item), bytes })
  }
  return live
}

function liveItems(document: ReplicatedDocument): readonly Y.Item[] {
  const items: Y.Item[] = []
  const { clients } = document.doc.store
  for (const client of [...clients.keys()].sort((a, b) => a - b)) {
    for (const struct of clients.get(client) ?? []) {
      if (struct instanceof Y.Item && !struct.deleted && struct.content instanceof Y.ContentBinary)
        items.push(struct)
    }
  }
  return items
}

export function unproved(document: ReplicatedDocument, writer: PeerId, reason: string): ShoalError {
  const text = `Cannot believe what is said to be of ${writer} in "${document.name}" as ${reason}`
  return new ShoalError('E_SIGNATURE', text)
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
