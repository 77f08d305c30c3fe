import { type PeerId, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { giveBack, nextIndex, type Transfer } from './transfer.ts'
import type { Wanted } from './wanted.ts'

/** Something that a peer was asked for. */
export interface Request {
  readonly transfer: Transfer
  readonly peer: PeerId
  /** `null`: the hashes. */
  readonly index: number | null
}

/**
 * The peers that pieces are asked of, each for a few ahead. A class for its state: what was asked of a peer and
 * what came of it are counted in one place.
 */
export class Sources {
  readonly #ask: (peer: PeerId, wanted: Wanted) => void
  readonly #now: () => number
  readonly #requests = new Map<number, Asked>()
  readonly #sources = new Map<PeerId, Source>()
  #nextRequest = 1

  constructor(ask: (peer: PeerId, wanted: Wanted) => void, now: () => number) {
    this.#ask = ask
    this.#now = now
  }

  /** How many transfers have this peer as their source. */
  load(peer: PeerId): number {
    return this.#sources.get(peer)?.transfers.size ?? 0
  }

  add(transfer: Transfer, peer: PeerId): void {
    transfer.source = peer
    this.#sourceOf(peer).transfers.add(transfer)
  }

  /** The transfer asks nobody any more. What is still on the way may be used. */
  remove(transfer: Transfer): void {
    if (transfer.source !== null) this.#sources.get(transfer.source)?.transfers.delete(transfer)
    transfer.source = null
  }

  /** Asks for what there is room for. Transfers take turns: a small chunk does not wait for a large one. */
  pump(peer: PeerId): void {
    const source = this.#sourceOf(peer)
    let idle = 0
    while (source.open < limits.chunkPiecesAhead && idle < source.transfers.size) {
      const [transfer] = source.transfers
      if (transfer === undefined) return
      source.transfers.delete(transfer)
      source.transfers.add(transfer)
      const index = nextIndex(transfer)
      if (index === undefined) {
        idle++
        continue
      }
      idle = 0
      if (source.open === 0) source.heardAt = this.#now()
      source.open++
      const request = this.#nextRequest++
      this.#requests.set(request, { transfer, peer, source, index })
      this.#ask(peer, { request, id: transfer.ref.id, hash: transfer.ref.hash, index })
    }
  }

  /**
   * The request that was answered; it counts as open until `settled`.
   * @throws ShoalError `E_CHUNK_REF` there is none
   */
  answered(from: PeerId, request: number): Request {
    const asked = this.#requests.get(request)
    if (asked === undefined || asked.peer !== from) {
      const text = `Cannot take a piece of a chunk as it must have been asked for: current value is ${request}`
      throw new ShoalError('E_CHUNK_REF', text)
    }
    this.#requests.delete(request)
    asked.source.heardAt = this.#now()
    return asked
  }

  settled(request: Request): void {
    const { peer, source } = request as Asked
    source.open--
    // After a broken link, or a long silence, the peer counts anew. Several are asked for at once: each message by
    // itself wakes the other side.
    const isLow = source.open <= limits.chunkPiecesAhead / 2
    if (isLow && this.#sources.get(peer) === source) this.pump(peer)
  }

  /** The answer to a request was lost on its way. It is asked for again, though that is no word from the peer. */
  lost(from: PeerId, request: number): void {
    const asked = this.#requests.get(request)
    if (asked === undefined || asked.peer !== from) return
    this.#requests.delete(request)
    if (!asked.transfer.isOver) giveBack(asked.transfer, asked.index)
    this.settled(asked)
  }

  /** What was asked over a link to the peer that is gone is void; its transfers have no source now. */
  reset(peer: PeerId): void {
    for (const [number, { transfer, index, peer: asked }] of this.#requests) {
      if (asked !== peer) continue
      this.#requests.delete(number)
      giveBack(transfer, index)
    }
    this.#forget(peer)
  }

  /**
   * Leaves those that owe an answer and gave none for long. What comes from them later is still taken.
   * @returns the transfers that they had, with the peer that each had
   */
  leaveSilent(): readonly { readonly transfer: Transfer; readonly peer: PeerId }[] {
    const left: { transfer: Transfer; peer: PeerId }[] = []
    for (const [peer, source] of [...this.#sources]) {
      if (source.open === 0 && source.transfers.size === 0) this.#sources.delete(peer)
      if (source.open === 0 || this.#now() - source.heardAt <= limits.chunkAnswerTimeoutMs) continue
      for (const transfer of this.#forget(peer)) left.push({ transfer, peer })
      for (const { transfer, index, source: asked } of this.#requests.values()) {
        if (asked === source && !transfer.isOver) giveBack(transfer, index)
      }
    }
    return left
  }

  #forget(peer: PeerId): readonly Transfer[] {
    const transfers = [...(this.#sources.get(peer)?.transfers ?? [])]
    this.#sources.delete(peer)
    for (const transfer of transfers) transfer.source = null
    return transfers
  }

  #sourceOf(peer: PeerId): Source {
    const known = this.#sources.get(peer)
    if (known !== undefined) return known
    const source: Source = { transfers: new Set(), open: 0, heardAt: this.#now() }
    this.#sources.set(peer, source)
    return source
  }
}

interface Asked extends Request {
  readonly source: Source
}

interface Source {
  /** In the order of their turns. */
  readonly transfers: Set<Transfer>
  /** Asked for, or come and not yet checked and written. */
  open: number
  heardAt: number
}
