import { type PeerId, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { equalBytes } from '../membership/bytes.ts'
import { pieceCount, refError } from './pieces.ts'
import type { Shelf } from './shelf.ts'
import type { Wanted } from './wanted.ts'

export interface ServingOptions {
  readonly shelf: Shelf
  /** `null`: it is not here. Resolves when the bytes are no longer needed: they arrived, or the link is gone. */
  answer(peer: PeerId, request: number, bytes: Uint8Array | null): Promise<void>
}

/** Gives pieces to those who ask for them, a few at a time: what waits are requests, never bytes. */
export interface Serving {
  readonly movedOutBytes: number
  /** @throws ShoalError `E_CHUNK_REF` there is no such piece; `E_LIMIT` too many requests */
  onWanted(from: PeerId, wanted: Wanted): void
  /** What the peer asked over a link that is gone, nobody waits for. */
  onReach(peer: PeerId): void
}

interface Client {
  readonly queue: Wanted[]
  active: number
}

export function createServing({ shelf, answer }: ServingOptions): Serving {
  const clients = new Map<PeerId, Client>()
  let movedOutBytes = 0

  function pump(peer: PeerId, client: Client): void {
    while (client.active < limits.chunkPiecesAhead && client.queue.length > 0) {
      client.active++
      void serve(peer, client.queue.shift() as Wanted).finally(() => {
        client.active--
        pump(peer, client)
      })
    }
    if (client.active === 0 && clients.get(peer) === client) clients.delete(peer)
  }

  async function serve(peer: PeerId, wanted: Wanted): Promise<void> {
    const bytes = await read(wanted).catch(() => {
      // The disk does not give it back: others may have it.
      shelf.drop(wanted.id)
      return null
    })
    movedOutBytes += bytes?.length ?? 0
    await answer(peer, wanted.request, bytes)
  }

  async function read({ id, index }: Wanted): Promise<Uint8Array | null> {
    const kept = shelf.get(id)
    if (kept === null) return null
    return index === null ? kept.hashes : shelf.readPiece(id, index)
  }

  return {
    get movedOutBytes() {
      return movedOutBytes
    },
    onWanted(from, wanted) {
      const client = clients.get(from) ?? { queue: [], active: 0 }
      const kept = shelf.get(wanted.id)
      const isFull = client.queue.length >= limits.chunkPiecesQueuedMax
      const refusal = isFull ? tooMany(client.queue.length) : checkWanted(wanted, kept?.ref)
      if (refusal !== null) {
        void answer(from, wanted.request, null)
        throw refusal
      }
      clients.set(from, client)
      client.queue.push(wanted)
      pump(from, client)
    },
    onReach(peer) {
      const client = clients.get(peer)
      if (client !== undefined) client.queue.length = 0
      clients.delete(peer)
    },
  }
}

function checkWanted(
  wanted: Wanted,
  ref: { readonly sizeBytes: number; readonly hash: Uint8Array } | undefined,
): ShoalError | null {
  if (ref === undefined) return null
  if (!equalBytes(wanted.hash, ref.hash))
    return refError(wanted, 'its hash must be the one that it was made with')
  const count = pieceCount(ref.sizeBytes)
  if (wanted.index === null || wanted.index < count) return null
  return refError(wanted, `its pieces are numbered from 0 to ${count - 1}: current value is ${wanted.index}`)
}

function tooMany(count: number): ShoalError {
  const text = `Cannot give another piece as at most ${limits.chunkPiecesQueuedMax} may be asked for at once`
  return new ShoalError('E_LIMIT', `${text}: current value is ${count}`)
}
