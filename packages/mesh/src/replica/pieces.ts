import * as Y from 'yjs'
import type { ReplicatedDocument } from './document.ts'

/** A state vector: how far each client id's entries are known. */
export type StateVector = ReadonlyMap<number, number>

/**
 * What a replica at `have` lacks, as updates of about `pieceBytes` that apply one after the other. Yjs
 * itself answers a sync with one update of any size.
 * @param withDeletions `false` when the other side knows all deletions
 */
export function encodePieces(
  document: ReplicatedDocument,
  have: StateVector,
  withDeletions: boolean,
  pieceBytes: number,
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
    const blocks = takeBlocks(cursors, pieceBytes)
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
function takeBlocks(cursors: readonly Cursor[], pieceBytes: number): Uint8Array[] {
  const taken = new Map<
    number,
    { readonly from: number; count: number; readonly encoder: Y.UpdateEncoderV1 }
  >()
  let bytes = 0
  for (let hasMoved = true; hasMoved && bytes < pieceBytes; ) {
    hasMoved = false
    for (const cursor of cursors) {
      while (cursor.index < cursor.structs.length && bytes < pieceBytes && isReady(cursor, cursors)) {
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
        cursor.index++
        hasMoved = true
      }
    }
  }
  return [...taken].map(([client, { from, count, encoder }]) =>
    join([varUint(count), varUint(client), varUint(from), encoder.toUint8Array()]),
  )
}

/** An entry goes after the one that it was appended to. */
function isReady(cursor: Cursor, cursors: readonly Cursor[]): boolean {
  const origin = (cursor.structs[cursor.index] as Y.Item).origin
  if (origin === null || origin.client === cursor.client) return true
  const other = cursors.find((candidate) => candidate.client === origin.client)
  return other === undefined || other.clock > origin.clock
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
