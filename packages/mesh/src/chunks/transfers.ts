import {
  type ChunkId,
  type ChunkRef,
  type Clock,
  type PeerId,
  ShoalError,
  type StopSignal,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { sha256 } from '../membership/crypto.ts'
import { giveBody } from '../wire/piece-bodies.ts'
import { hashBytes, isHashList, isPiece, isSameChunk, pieceCount, pieceSize, refError } from './pieces.ts'
import type { Draft } from './shelf.ts'

/** How a peer can be reached: now, soon (its link is being made again), or not (it left, or nobody met it). */
export type Reach = 'linked' | 'away' | 'gone'

/** What one peer asks of another: a piece, or the list of all hashes. */
export interface Wanted {
  readonly request: number
  readonly id: ChunkId
  /** Of the chunk: only who was given its reference knows it. */
  readonly hash: Uint8Array
  /** `null`: the hashes of all pieces. */
  readonly index: number | null
}

export interface TransfersOptions {
  readonly clock: Clock
  reach(peer: PeerId): Reach
  ask(peer: PeerId, wanted: Wanted): void
  /** Tells a peer what was wrong with what it sent. */
  refuse(peer: PeerId, error: ShoalError): void
  draft(ref: ChunkRef, inMemory: boolean): Draft
}

/** Brings chunks here, piece by piece. */
export interface Transfers {
  readonly movedInBytes: number
  /**
   * Resolves when the chunk is here: with its bytes, or with `null` where they were written to the disk.
   * @throws ShoalError `E_CHUNK_LOST`, `E_HASH`, `E_CHUNK_REF`, or the signal's reason
   */
  fetch(
    ref: ChunkRef,
    holders: readonly PeerId[],
    inMemory: boolean,
    signal?: StopSignal,
  ): Promise<Uint8Array | null>
  /** @throws ShoalError `E_CHUNK_REF` nobody asked for it, `E_CHUNK` it has another size */
  onAnswer(from: PeerId, request: number, bytes: Uint8Array | null): void
  /** A link to the peer was made (again), broke, or the peer is gone. What was asked over the old one is void. */
  onReach(peer: PeerId): void
  close(): void
}

export function createTransfers(options: TransfersOptions): Transfers {
  return new PieceTransfers(options)
}

interface Transfer {
  readonly ref: ChunkRef
  /** May still have it, as far as this peer knows. */
  readonly holders: Set<PeerId>
  readonly waiters: Set<Waiter>
  /** Nobody that this peer has not met is waited for longer. */
  readonly meetsUntil: number
  inMemory: boolean
  source: PeerId | null
  hashes: Uint8Array | null
  isHashesAsked: boolean
  draft: Draft | null
  /** Pieces that were asked for in vain. */
  readonly again: number[]
  /** The first piece that nobody was asked for yet. */
  next: number
  /** 1 for each piece that came. */
  readonly got: Uint8Array
  left: number
  mismatch: ShoalError | null
  isOver: boolean
}

interface Waiter {
  resolve(bytes: Uint8Array | null): void
  reject(reason: unknown): void
}

interface Request {
  readonly transfer: Transfer
  readonly peer: PeerId
  readonly source: Source
  readonly index: number | null
}

/** A peer that pieces are asked of. */
interface Source {
  /** In the order of their turns. */
  readonly transfers: Set<Transfer>
  /** Asked for, or come and not yet checked and written. */
  open: number
  heardAt: number
}

/** How often it is looked for peers that do not answer, in milliseconds. */
const lookMs = 1_000

class PieceTransfers implements Transfers {
  movedInBytes = 0
  readonly #options: TransfersOptions
  readonly #running = new Map<ChunkId, Transfer>()
  readonly #requests = new Map<number, Request>()
  readonly #sources = new Map<PeerId, Source>()
  #nextRequest = 1
  #isLooking = false
  #isClosed = false

  constructor(options: TransfersOptions) {
    this.#options = options
  }

  fetch(
    ref: ChunkRef,
    holders: readonly PeerId[],
    inMemory: boolean,
    signal?: StopSignal,
  ): Promise<Uint8Array | null> {
    if (this.#isClosed) return Promise.reject(closedError())
    if (signal?.aborted) return Promise.reject(signal.reason)
    const running = this.#running.get(ref.id)
    if (running !== undefined && !isSameChunk(running.ref, ref))
      return Promise.reject(refError(ref, 'another reference with its id has other bytes'))
    const transfer = running ?? this.#begin(ref)
    for (const holder of holders) transfer.holders.add(holder)
    transfer.inMemory ||= inMemory
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        end()
        reject(signal?.reason)
        if (transfer.waiters.size === 0) this.#end(transfer)
      }
      const end = (): void => {
        transfer.waiters.delete(waiter)
        signal?.removeEventListener('abort', stop)
      }
      const waiter: Waiter = {
        resolve(bytes) {
          end()
          resolve(bytes)
        },
        reject(reason) {
          end()
          reject(reason)
        },
      }
      transfer.waiters.add(waiter)
      signal?.addEventListener('abort', stop, { once: true })
      this.#go(transfer)
    })
  }

  onAnswer(from: PeerId, request: number, bytes: Uint8Array | null): void {
    const asked = this.#requests.get(request)
    if (asked === undefined || asked.peer !== from) {
      const text = `Cannot take a piece of a chunk as it must have been asked for: current value is ${request}`
      throw new ShoalError('E_CHUNK_REF', text)
    }
    this.#requests.delete(request)
    asked.source.heardAt = this.#options.clock.now()
    this.movedInBytes += bytes?.length ?? 0
    const { transfer, index } = asked
    if (transfer.isOver) this.#settled(asked)
    else if (bytes === null) this.#missed(asked)
    else {
      const sizeBytes =
        index === null
          ? pieceCount(transfer.ref.sizeBytes) * hashBytes
          : pieceSize(transfer.ref.sizeBytes, index)
      if (bytes.length !== sizeBytes) {
        this.#missed(asked)
        const text = `Cannot take a piece of a chunk as its size in bytes must be ${sizeBytes}: current value is ${bytes.length}`
        throw new ShoalError('E_CHUNK', text)
      }
      void this.#take(asked, bytes)
    }
  }

  onReach(peer: PeerId): void {
    for (const [number, { transfer, index, peer: asked }] of this.#requests) {
      if (asked !== peer) continue
      this.#requests.delete(number)
      giveBack(transfer, index)
    }
    const source = this.#sources.get(peer)
    this.#sources.delete(peer)
    for (const transfer of source?.transfers ?? []) transfer.source = null
    const isGone = this.#options.reach(peer) === 'gone'
    for (const transfer of [...this.#running.values()]) {
      if (isGone) transfer.holders.delete(peer)
      this.#go(transfer)
    }
  }

  close(): void {
    this.#isClosed = true
    for (const transfer of [...this.#running.values()]) this.#fail(transfer, closedError())
  }

  #begin(ref: ChunkRef): Transfer {
    const transfer: Transfer = {
      ref,
      holders: new Set(),
      waiters: new Set(),
      meetsUntil: this.#options.clock.now() + limits.chunkHolderWaitMs,
      inMemory: false,
      source: null,
      hashes: null,
      isHashesAsked: false,
      draft: null,
      again: [],
      next: 0,
      got: new Uint8Array(pieceCount(ref.sizeBytes)),
      left: pieceCount(ref.sizeBytes),
      mismatch: null,
      isOver: false,
    }
    this.#running.set(ref.id, transfer)
    this.#look()
    return transfer
  }

  /** Gets a transfer going that has nobody to ask. */
  #go(transfer: Transfer): void {
    if (transfer.isOver) return
    if (transfer.source === null) {
      transfer.source = this.#choose(transfer)
      if (transfer.source === null) {
        if (!this.#mayHope(transfer)) this.#fail(transfer, transfer.mismatch ?? lostError(transfer.ref))
        return
      }
      this.#sourceOf(transfer.source).transfers.add(transfer)
    }
    this.#pump(transfer.source)
  }

  /** Of those that are linked, the one that is asked for least. */
  #choose(transfer: Transfer): PeerId | null {
    let best: PeerId | null = null
    let bestCount = Number.POSITIVE_INFINITY
    for (const holder of transfer.holders) {
      if (this.#options.reach(holder) !== 'linked') continue
      const count = this.#sources.get(holder)?.transfers.size ?? 0
      if (count >= bestCount) continue
      best = holder
      bestCount = count
    }
    return best
  }

  /** Whether a link to one of the holders may still come about. */
  #mayHope({ holders, meetsUntil }: Transfer): boolean {
    const isEarly = this.#options.clock.now() < meetsUntil
    for (const holder of holders) if (isEarly || this.#options.reach(holder) !== 'gone') return true
    return false
  }

  #sourceOf(peer: PeerId): Source {
    const known = this.#sources.get(peer)
    if (known !== undefined) return known
    const source: Source = { transfers: new Set(), open: 0, heardAt: this.#options.clock.now() }
    this.#sources.set(peer, source)
    return source
  }

  /** Transfers from one peer take turns: a small chunk does not wait for a large one. */
  #pump(peer: PeerId): void {
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
      if (source.open === 0) source.heardAt = this.#options.clock.now()
      source.open++
      const request = this.#nextRequest++
      this.#requests.set(request, { transfer, peer, source, index })
      this.#options.ask(peer, { request, id: transfer.ref.id, hash: transfer.ref.hash, index })
    }
  }

  /** A request is over, well or not. */
  #settled({ peer, source }: Request): void {
    source.open--
    // After a broken link the peer counts anew.
    if (this.#sources.get(peer) === source) this.#pump(peer)
  }

  #missed(asked: Request): void {
    const { transfer, peer, index } = asked
    giveBack(transfer, index)
    this.#leave(transfer, peer)
    this.#settled(asked)
    this.#go(transfer)
  }

  /** The peer is not asked for this chunk again. What is still on the way from it may be used. */
  #leave(transfer: Transfer, peer: PeerId): void {
    transfer.holders.delete(peer)
    if (transfer.source !== peer) return
    transfer.source = null
    this.#sources.get(peer)?.transfers.delete(transfer)
  }

  async #take(asked: Request, bytes: Uint8Array): Promise<void> {
    const { transfer, index } = asked
    try {
      const isRight =
        index === null ? await this.#takeHashes(transfer, bytes) : await this.#takePiece(asked, bytes)
      if (isRight) this.#settled(asked)
      else this.#mismatched(asked)
    } catch (error) {
      // The disk failed, or memory did.
      this.#fail(transfer, error)
      this.#settled(asked)
    } finally {
      giveBody(bytes)
    }
  }

  async #takeHashes(transfer: Transfer, hashes: Uint8Array): Promise<boolean> {
    if (!(await isHashList(hashes, transfer.ref))) return false
    transfer.hashes ??= hashes.slice()
    return true
  }

  async #takePiece({ transfer, index }: Request, bytes: Uint8Array): Promise<boolean> {
    const at = index as number
    // The only piece comes without a list: it is the list's only entry.
    const hashes = transfer.hashes ?? (await sha256(bytes))
    const isRight =
      transfer.hashes === null ? await isHashList(hashes, transfer.ref) : await isPiece(bytes, hashes, at)
    if (!isRight) return false
    if (transfer.isOver || transfer.got[at] === 1) return true
    transfer.got[at] = 1
    transfer.hashes ??= hashes
    transfer.draft ??= this.#options.draft(transfer.ref, transfer.inMemory)
    await transfer.draft.write(at, bytes)
    transfer.left--
    if (transfer.left === 0 && !transfer.isOver) this.#finish(transfer)
    return true
  }

  #mismatched(asked: Request): void {
    const { transfer, peer } = asked
    const text = `Cannot take chunk ${transfer.ref.id} as its bytes must match its hash: ${peer} sent something else`
    transfer.mismatch = new ShoalError('E_HASH', text, { data: { chunk: transfer.ref.id, peer } })
    this.#options.refuse(peer, transfer.mismatch)
    this.#missed(asked)
  }

  #finish(transfer: Transfer): void {
    const bytes = (transfer.draft as Draft).finish(transfer.hashes as Uint8Array)
    this.#over(transfer)
    for (const waiter of [...transfer.waiters]) waiter.resolve(bytes)
  }

  #fail(transfer: Transfer, error: unknown): void {
    if (transfer.isOver) return
    const waiters = [...transfer.waiters]
    this.#end(transfer)
    for (const waiter of waiters) waiter.reject(error)
  }

  #end(transfer: Transfer): void {
    if (transfer.isOver) return
    this.#over(transfer)
    transfer.draft?.discard()
  }

  #over(transfer: Transfer): void {
    transfer.isOver = true
    this.#running.delete(transfer.ref.id)
    if (transfer.source !== null) this.#sources.get(transfer.source)?.transfers.delete(transfer)
    transfer.source = null
  }

  /** Peers that live but do not answer, and holders that never came. */
  #look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    const { clock } = this.#options
    clock.setTimer(clock.now() + lookMs, () => {
      this.#isLooking = false
      for (const [peer, source] of [...this.#sources]) {
        if (source.open === 0 && source.transfers.size === 0) this.#sources.delete(peer)
        else if (source.open > 0 && clock.now() - source.heardAt > limits.chunkAnswerTimeoutMs)
          this.#giveUp(peer)
      }
      for (const transfer of [...this.#running.values()]) this.#go(transfer)
      if (this.#running.size > 0) this.#look()
    })
  }

  #giveUp(peer: PeerId): void {
    const source = this.#sourceOf(peer)
    for (const transfer of [...source.transfers]) this.#leave(transfer, peer)
    for (const { transfer, peer: asked, index } of this.#requests.values()) {
      if (asked === peer && !transfer.isOver) giveBack(transfer, index)
    }
    source.heardAt = this.#options.clock.now()
  }
}

/** `undefined`: nothing can be asked for now. */
function nextIndex(transfer: Transfer): number | null | undefined {
  const count = pieceCount(transfer.ref.sizeBytes)
  if (transfer.hashes === null && count > 1) {
    if (transfer.isHashesAsked) return undefined
    transfer.isHashesAsked = true
    return null
  }
  return transfer.again.pop() ?? (transfer.next < count ? transfer.next++ : undefined)
}

function giveBack(transfer: Transfer, index: number | null): void {
  if (index === null) transfer.isHashesAsked = false
  else if (transfer.got[index] === 0) transfer.again.push(index)
}

function closedError(): ShoalError {
  return new ShoalError('E_CLOSED', 'Cannot fetch a chunk as its store must be open: it was closed')
}

function lostError(ref: ChunkRef): ShoalError {
  const text = `Cannot fetch chunk ${ref.id} as a peer that can be reached must have it: nobody has`
  return new ShoalError('E_CHUNK_LOST', text, { data: { chunk: ref.id } })
}
