import { type PeerId, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import { jobArrays, laneArrays, type ReplicatedDocument } from './document.ts'
import { isEqual } from './seals.ts'
import type { Writers } from './writers.ts'

/**
 * The check that every update passes before it touches a document.
 *
 * Who may write what, in this version:
 * - A client id belongs to one peer (see writers.ts).
 * - `direct`: the update came from `from` over its own authenticated link, when it was written. Every
 *   structure and deletion in it must be under a client id of `from`; a lane takes them from its own
 *   member only. An id that is new becomes that of `from`.
 * - `relayed`: the update answers a sync. In a lane, everything must be under ids of the lane's member. In
 *   a job's document, the first structure of each client id names its peer, and must agree with what is
 *   known of the id. The caller takes a lane of a present member from that member alone.
 * - Nobody else writes under this replica's id of this start.
 * What is relayed needs its writer's signature besides; see seals.ts. Contributors never reach this code.
 */
export interface UpdateRule {
  readonly from: PeerId
  readonly isDirect: boolean
  readonly selfClient: number
  readonly updateBytes: number
}

/** What an update that passed does. */
export interface Inspection {
  /** `false`: everything in it is known already. */
  readonly isNew: boolean
  /** Client ids that it shows for the first time, with their peers. */
  readonly writers: ReadonlyMap<number, PeerId>
  /** What it says, by client id and in order. */
  readonly items: ReadonlyMap<number, readonly Y.Item[]>
  /** A client id under which it says something else than what is known, or `null`. */
  readonly conflict: number | null
  /** `true`: it deletes what is not deleted yet. */
  readonly hasDeletions: boolean
  /** By client id: the first entry that is not known yet. */
  readonly firsts: ReadonlyMap<number, number>
  /** The state of each client after it. */
  readonly reach: ReadonlyMap<number, number>
}

/** Raised for an update that something before it may put right: ask for that, and for the update again. */
export class EarlyError extends ShoalError {
  readonly client: number
  readonly clock: number
  constructor(code: string, message: string, client: number, clock: number) {
    super(code, message)
    this.client = client
    this.clock = clock
  }
}

/** Raised for an update that would leave a hole. */
export class GapError extends EarlyError {
  constructor(name: string, client: number, clock: number, have: number) {
    const reason = `client ${client} must go on from clock ${have}: current value is ${clock}`
    super('E_CRDT_GAP', `Cannot apply an update to "${name}" as ${reason}`, client, clock)
  }
}

/**
 * Raised for relayed entries whose signatures do not fit what is known: either they are forged, or their
 * writer signed two histories. All of the document shows which.
 */
export class ForkError extends EarlyError {
  constructor(cause: ShoalError, client: number, clock: number) {
    super(cause.code, cause.message, client, clock)
  }
}

/** Raised when a writer is shown to have signed, or said itself, two different entries with one clock. */
export class EquivocationError extends ShoalError {
  readonly writer: PeerId
  constructor(name: string, writer: PeerId, client: number) {
    const text = `Cannot trust ${writer} as it wrote two histories of "${name}": they differ for client ${client}`
    super('E_EQUIVOCATION', text)
    this.writer = writer
  }
}

/** Raised for entries in a job's document by a member that did not claim the job, as far as is known. */
export class UnclaimedError extends EarlyError {
  constructor(name: string, writer: PeerId, client: number, clock: number) {
    const reason = 'its writer must have submitted or claimed the job'
    const message = `Cannot apply an update to "${name}" as ${reason}: current value is ${writer}`
    super('E_CRDT_FOREIGN', message, client, clock)
  }
}

/**
 * Decodes and checks an update without applying it.
 * @throws ShoalError `E_QUOTA` too long, `E_CRDT_UPDATE` unreadable or with structures that no writer makes,
 * `E_CRDT_FOREIGN` under another's client id, `E_CRDT_SHAPE` not an append to a known array,
 * `E_CRDT_GAP` ({@link GapError}) something before it is missing
 */
export function inspectUpdate(
  document: ReplicatedDocument,
  update: Uint8Array,
  rule: UpdateRule,
  known: Writers,
): Inspection {
  if (update.length > rule.updateBytes) {
    throw refused('E_QUOTA', document, `it must have at most ${rule.updateBytes} bytes`, update.length)
  }
  const decoded = decode(document, update)
  const writers = new Map<number, PeerId>()
  const reach = new Map<number, number>()
  const firsts = new Map<number, number>()
  const items = new Map<number, Y.Item[]>()
  let conflict: number | null = null
  const store = document.doc.store
  let isNew = false
  for (const struct of decoded.structs) {
    if (!(struct instanceof Y.Item) || struct.length < 1) {
      throw refused('E_CRDT_UPDATE', document, 'only whole entries are allowed', struct.constructor.name)
    }
    const { client, clock } = struct.id
    checkWriter(document, struct, rule, known, writers)
    checkShape(document, struct)
    const have = reach.get(client) ?? Y.getState(store, client)
    const ofClient = items.get(client)
    if (ofClient === undefined) items.set(client, [struct])
    else ofClient.push(struct)
    if (clock < have && differs(store, struct)) conflict = client
    if (clock > have) throw new GapError(document.name, client, clock, have)
    if (clock + struct.length > have) {
      isNew = true
      if (!firsts.has(client)) firsts.set(client, have)
    }
    reach.set(client, Math.max(have, clock + struct.length))
    if (client === rule.selfClient && clock + struct.length > Y.getState(store, client)) {
      throw refused('E_CRDT_FOREIGN', document, 'nobody else may write under this client id', client)
    }
  }
  const clockOf = (client: number): number => reach.get(client) ?? Y.getState(store, client)
  for (const { origin, id } of decoded.structs as Y.Item[]) {
    if (origin !== null && origin.clock >= clockOf(origin.client)) {
      throw new GapError(document.name, id.client, id.clock, clockOf(origin.client))
    }
  }
  const hasDeletions = checkDeletions(document, decoded.ds, rule, known, writers, clockOf)
  return { isNew: isNew || hasDeletions, items, conflict, hasDeletions, writers, firsts, reach }
}

/** Whether an entry that is known already was another one when it came first. */
function differs(store: Y.Doc['store'], item: Y.Item): boolean {
  const known = Y.getItem(store, item.id) as Y.Item | Y.GC
  if (!(known instanceof Y.Item) || !(known.content instanceof Y.ContentBinary)) return false
  return item.content instanceof Y.ContentBinary && !isEqual(known.content.content, item.content.content)
}

function decode(document: ReplicatedDocument, update: Uint8Array): ReturnType<typeof Y.decodeUpdate> {
  try {
    return Y.decodeUpdate(update)
  } catch (cause) {
    throw new ShoalError('E_CRDT_UPDATE', `Cannot apply an update to "${document.name}" as it is malformed`, {
      cause,
    })
  }
}

function checkWriter(
  document: ReplicatedDocument,
  item: Y.Item,
  rule: UpdateRule,
  known: Writers,
  found: Map<number, PeerId>,
): void {
  const { client, clock } = item.id
  const bound = known.of(client) ?? found.get(client) ?? null
  let writer = document.kind === 'lane' ? (document.key as PeerId) : rule.isDirect ? rule.from : bound
  if (document.kind === 'job' && clock === 0) {
    const named = readWriter(document, item)
    if (writer !== null && writer !== named) {
      throw refused('E_CRDT_FOREIGN', document, `client ${client} must name its peer ${writer}`, named)
    }
    writer = named
  }
  // Without its first entry nothing says whose it is; what comes later is a gap for us.
  if (writer === null) throw new GapError(document.name, client, clock, 0)
  if (bound === writer) return
  if (bound !== null || !known.canBind(client, writer)) {
    throw refused(
      'E_CRDT_FOREIGN',
      document,
      `client ${client} must be one of ${writer}`,
      bound ?? 'too many',
    )
  }
  found.set(client, writer)
}

function readWriter(document: ReplicatedDocument, item: Y.Item): PeerId {
  if (!(item.content instanceof Y.ContentBinary) || item.content.content.length > 256) {
    throw refused(
      'E_CRDT_SHAPE',
      document,
      `client ${item.id.client} must name its peer first`,
      'other content',
    )
  }
  return new TextDecoder().decode(item.content.content) as PeerId
}

/** Appends of byte strings to known arrays only: this also makes every merge cheap and plain. */
function checkShape(document: ReplicatedDocument, item: Y.Item): void {
  const names: readonly string[] = document.kind === 'lane' ? laneArrays : jobArrays
  const parent: unknown = item.parent
  const isKnownParent = parent === null || (typeof parent === 'string' && names.includes(parent))
  const isBinary = item.content instanceof Y.ContentBinary
  const isDeleted = item.content instanceof Y.ContentDeleted && document.kind === 'lane'
  if (isKnownParent && item.parentSub === null && item.rightOrigin === null && (isBinary || isDeleted)) return
  throw refused(
    'E_CRDT_SHAPE',
    document,
    'it must append bytes to a known array',
    item.content.constructor.name,
  )
}

/** `true` when something is deleted that was not. */
function checkDeletions(
  document: ReplicatedDocument,
  ds: ReturnType<typeof Y.decodeUpdate>['ds'],
  rule: UpdateRule,
  known: Writers,
  found: ReadonlyMap<number, PeerId>,
  clockOf: (client: number) => number,
): boolean {
  let isNew = false
  for (const [client, ranges] of ds.clients) {
    for (const { clock, len } of ranges) {
      if (isDeletedHere(document, client, clock, len)) continue
      const bound = known.of(client) ?? found.get(client) ?? null
      const isKeyed = bound === null || bound === document.key
      if (document.kind !== 'lane' || client === rule.selfClient || !isKeyed) {
        throw refused(
          'E_CRDT_FOREIGN',
          document,
          `entries of client ${client} are not its to delete`,
          rule.from,
        )
      }
      if (clock + len > clockOf(client)) throw new GapError(document.name, client, clock, clockOf(client))
      isNew = true
    }
  }
  return isNew
}

/** Whether all of a range is deleted in this replica already. */
function isDeletedHere(document: ReplicatedDocument, client: number, clock: number, len: number): boolean {
  const store = document.doc.store
  if (clock + len > Y.getState(store, client)) return false
  const structs = store.clients.get(client) ?? []
  let i = Y.findIndexSS(structs as Y.Item[], clock)
  for (; i < structs.length; i++) {
    const struct = structs[i] as Y.Item | Y.GC
    if (struct.id.clock >= clock + len) break
    if (!struct.deleted) return false
  }
  return true
}

function refused(code: string, document: ReplicatedDocument, reason: string, actual: unknown): ShoalError {
  return new ShoalError(
    code,
    `Cannot apply an update to "${document.name}" as ${reason}: current value is ${actual}`,
  )
}
