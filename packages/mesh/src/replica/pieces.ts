import * as Y from 'yjs'
import type { ReplicatedDocument } from './document.ts'
import { isSeal } from './seals.ts'

/** A state vector: how far each client id's entries are known. */
export type StateVector = ReadonlyMap<number, number>

/**
 * What a replica at `have` lacks, as updates of about `pieceBytes` that apply one after the other. Yjs
 * itself answers a sync with one update of any size.
 * @param withDeletions `false` when the other side knows all deletions
 * @param isSealed `true`: cut behind seals only, so that each piece can be checked by itself
 */
export function encodePieces(
  document: ReplicatedDocument,
  have: StateVector,
  withDeletions: boolean,
  pieceBytes: number,
  isSealed = false,
): readonly Uint8Array[] {
  const store = document.doc.store
  const cursors: Cursor[] = []
  for (const client of [...store.clients.keys()].sort((a, b) => a - b)) {
    const clock = have.get(client) ?? 0
    const structs = store.clients.get(client) as Y.Item[]
    if (Y.getState(store, client) > clock) {
      cursors.push({ client, clock, structs, index: Y.findIndexSS(structs, clock) })
    }
  }
  const pieces: Uint8Array[] = []
  for (;;) {
    const blocks = takeBlocks(cursors, pieceBytes, isSealed)
    if (blocks.length === 0) break
    pieces.push(join([varUint(blocks.length), ...blocks, varUint(0)]))
  }
  if (withDeletions && document.deleted > 0) {
    pieces.push(join([varUint(0), encodeDeletions(store)]))
  }
  return pieces
}

interface Cursor {
  readonly client: number
  readonly structs: readonly Y.Item[]
  /** First clock that was not taken yet. */
  clock: number
  index: number
}

/** Takes from every client what depends only on what was taken before, until the piece is full. */
function takeBlocks(cursors: readonly Cursor[], pieceBytes: number, isSealed: boolean): Uint8Array[] {
  const taken = new Map<
    number,
    { readonly from: number; count: number; readonly encoder: Y.UpdateEncoderV1 }
  >()
  let bytes = 0
  for (let hasMoved = true; hasMoved && bytes < pieceBytes; ) {
    hasMoved = false
    for (const cursor of cursors) {
      // What one transaction wrote stays together.
      let isWithin = false
      while (
        cursor.index < cursor.structs.length &&
        (isWithin || (bytes < pieceBytes && isReady(cursor, cursors, isSealed)))
      ) {
        const struct = cursor.structs[cursor.index] as Y.Item
        let block = taken.get(cursor.client)
        if (block === undefined) {
          block = { from: cursor.clock, count: 0, encoder: new Y.UpdateEncoderV1() }
          taken.set(cursor.client, block)
        }
        struct.write(block.encoder, cursor.clock - struct.id.clock)
        block.count++
        bytes += 32 + (struct.content instanceof Y.ContentBinary ? struct.content.content.length : 0)
        cursor.clock = struct.id.clock + struct.length
        isWithin = isSealed && !endsRun(struct)
        cursor.index++
        hasMoved = true
      }
    }
  }
  return [...taken].map(([client, { from, count, encoder }]) =>
    join([varUint(count), varUint(client), varUint(from), encoder.toUint8Array()]),
  )
}

function endsRun({ id, content }: Y.Item): boolean {
  return id.clock > 0 && content instanceof Y.ContentBinary && isSeal(content.content)
}

/** An entry goes after the one that it was appended to; `isSealed`: so do all up to the next seal. */
function isReady(cursor: Cursor, cursors: readonly Cursor[], isSealed: boolean): boolean {
  for (let at = cursor.index; at < cursor.structs.length; at++) {
    const item = cursor.structs[at] as Y.Item
    const { origin } = item
    const other = origin === null ? undefined : cursors.find(({ client }) => client === origin.client)
    if (origin !== null && other !== undefined && other !== cursor && other.clock <= origin.clock)
      return false
    if (!isSealed || endsRun(item)) return true
  }
  return true
}

function encodeDeletions(store: Y.Doc['store']): Uint8Array {
  const clients = [...Y.createDeleteSetFromStructStore(store).clients].sort((a, b) => b[0] - a[0])
  const parts = [varUint(clients.length)]
  for (const [client, ranges] of clients) {
    parts.push(varUint(client), varUint(ranges.length))
    for (const { clock, len } of ranges) parts.push(varUint(clock), varUint(len))
  }
  return join(parts)
}

function varUint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Uint8Array.from(bytes)
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
