import { createSystemClock, type Invite, type OpenDisk, openRoom, parseInvite } from '@shoal/mesh'
import { type ChunkRef, chunkId, type PeerId, type Transport } from '@shoal/scheduler'
import { chunkBytes } from '@shoal/scheduler/testing/contract/chunk-store'

/** What a peer of a test, in a process or in a page, may be told to do with chunks. */
export type Order =
  | { readonly type: 'put'; readonly sizeBytes: number; readonly seed: number }
  | {
      readonly type: 'fetch' | 'hold'
      readonly ref: RefText
      readonly holders: readonly string[]
      /** What the bytes were made with; `null`: they are not compared. */
      readonly seed: number | null
    }
  | { readonly type: 'drop'; readonly ref: RefText }
  | { readonly type: 'stats' }

/** A reference as JSON carries it. */
export interface RefText {
  readonly id: string
  readonly sizeBytes: number
  readonly hash: string
  readonly home: string
}

export interface Answer {
  readonly ref?: RefText
  readonly ms?: number
  /** Whether fetched bytes are the ones that were put. */
  readonly isSame?: boolean
  readonly diskBytes?: number
  readonly movedInBytes?: number
  readonly movedOutBytes?: number
}

export interface ChunkPeerParts {
  readonly invite: string
  readonly memoryMiB: number
  readonly openDisk: OpenDisk
  createTransport(invite: Invite): Transport
  tell(event: { readonly event: 'peer-joined' | 'peer-left'; readonly peer: string }): void
}

/** Joins the room; gives who it is, and what obeys orders. */
export async function joinForChunks(parts: ChunkPeerParts) {
  const invite = parseInvite(parts.invite)
  const room = await openRoom({
    invite,
    transport: parts.createTransport(invite),
    clock: createSystemClock(),
    openChunkDisk: parts.openDisk,
    chunkMemoryBytesMax: parts.memoryMiB * 2 ** 20,
  })
  room.network.onView((event) => {
    if (event.type === 'peer-joined' || event.type === 'peer-left')
      parts.tell({ event: event.type, peer: event.peer })
  })
  let made = 0
  async function obey(order: Order): Promise<Answer> {
    const { chunks } = room
    const startedAt = performance.now()
    switch (order.type) {
      case 'put': {
        const bytes = chunkBytes(order.sizeBytes, order.seed)
        return { ref: textOf(await chunks.put(chunkId(room.self, 1, made++), bytes)) }
      }
      case 'fetch': {
        const bytes = await chunks.fetch(refOf(order.ref), order.holders as readonly PeerId[])
        const ms = performance.now() - startedAt
        return { ms, isSame: order.seed === null || isSame(bytes, order.seed) }
      }
      case 'hold':
        await chunks.hold(refOf(order.ref), order.holders as readonly PeerId[])
        return { ms: performance.now() - startedAt }
      case 'drop':
        chunks.drop(refOf(order.ref).id)
        return {}
      case 'stats':
        return { ...chunks.stats }
    }
  }
  return { self: room.self as string, obey }
}

function textOf(ref: ChunkRef): RefText {
  return { ...ref, hash: Array.from(ref.hash, (byte) => byte.toString(16).padStart(2, '0')).join('') }
}

function refOf(text: RefText): ChunkRef {
  const hash = Uint8Array.from(text.hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  return { id: text.id as ChunkRef['id'], sizeBytes: text.sizeBytes, hash, home: text.home as PeerId }
}

function isSame(bytes: Uint8Array, seed: number): boolean {
  const expected = chunkBytes(bytes.length, seed)
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== expected[at]) return false
  return true
}
