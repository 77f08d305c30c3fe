import {
  type ChunkId,
  type ChunkRef,
  type Clock,
  type PeerId,
  ShoalError,
  type StopSignal,
} from '@shoal/scheduler'
import { giveBody } from '../bodies.ts'
import { limits } from '../limits.ts'
import { isSameChunk, refError } from './pieces.ts'
import type { Draft } from './shelf.ts'
import { type Request, Sources } from './sources.ts'
import {
  answerSize,
  createTransfer,
  endTransfer,
  giveBack,
  type Transfer,
  takeHashes,
  takePiece,
  type Waiter,
} from './transfer.ts'
import type { Reach, Wanted } from './wanted.ts'

export interface TransfersOptions {
  readonly clock: Clock
  reach(peer: PeerId): Reach
  isTrusted(peer: PeerId): boolean
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
  /** An answer came in part, and the rest of it never will. */
  onLost(from: PeerId, request: number): void
  /** A link to the peer was made (again), broke, or the peer is gone. What was asked over the old one is void. */
  onReach(peer: PeerId): void
  close(): void
}

export function createTransfers(options: TransfersOptions): Transfers {
  return new PieceTransfers(options)
}

/** How often it is looked for peers that do not answer, in milliseconds. */
const lookMs = 1_000

class PieceTransfers implements Transfers {
  movedInBytes = 0
  readonly #options: TransfersOptions
  readonly #sources: Sources
  readonly #running = new Map<ChunkId, Transfer>()
  #isLooking = false
  #isClosed = false

  constructor(options: TransfersOptions) {
    const { clock, ask } = options
    this.#options = options
    this.#sources = new Sources(ask, () => clock.now())
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
    const done = this.#wait(transfer, signal)
    this.#go(transfer)
    return done
  }

  onAnswer(from: PeerId, request: number, bytes: Uint8Array | null): void {
    const asked = this.#sources.answered(from, request)
    this.movedInBytes += bytes?.length ?? 0
    const { transfer, index } = asked
    if (transfer.isOver) this.#sources.settled(asked)
    else if (bytes === null) this.#missed(asked)
    else {
      const sizeBytes = answerSize(transfer, index)
      if (bytes.length !== sizeBytes) {
        this.#missed(asked)
        const text = `Cannot take a piece of a chunk as its size in bytes must be ${sizeBytes}: current value is ${bytes.length}`
        throw new ShoalError('E_CHUNK', text)
      }
      void this.#take(asked, bytes)
    }
  }

  onLost(from: PeerId, request: number): void {
    this.#sources.lost(from, request)
  }

  onReach(peer: PeerId): void {
    this.#sources.reset(peer)
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
    const transfer = createTransfer(ref, this.#options.clock.now() + limits.chunkHolderWaitMs)
    this.#running.set(ref.id, transfer)
    this.#look()
    return transfer
  }

  #wait(transfer: Transfer, signal: StopSignal | undefined): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        transfer.waiters.delete(waiter)
        signal?.removeEventListener('abort', stop)
      }
      const stop = (): void => {
        end()
        reject(signal?.reason)
        if (transfer.waiters.size === 0) this.#end(transfer)
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
    })
  }

  /** Gets a transfer going that has nobody to ask. */
  #go(transfer: Transfer): void {
    if (transfer.isOver) return
    if (transfer.source === null) {
      const source = this.#choose(transfer)
      if (source === null) {
        if (!this.#mayHope(transfer)) this.#fail(transfer, transfer.mismatch ?? lostError(transfer.ref))
        return
      }
      this.#sources.add(transfer, source)
    }
    if (transfer.source !== null) this.#sources.pump(transfer.source)
  }

  /** Of those that are linked, the one that is asked for least. */
  #choose(transfer: Transfer): PeerId | null {
    let best: PeerId | null = null
    let bestCount = Number.POSITIVE_INFINITY
    for (const holder of transfer.holders) {
      if (this.#options.reach(holder) !== 'linked') continue
      const count = this.#sources.load(holder)
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

  #missed(asked: Request): void {
    const { transfer, peer, index } = asked
    giveBack(transfer, index)
    this.#leave(transfer, peer)
    this.#sources.settled(asked)
    this.#go(transfer)
  }

  /** The peer is not asked for this chunk again. What is still on the way from it may be used. */
  #leave(transfer: Transfer, peer: PeerId): void {
    transfer.holders.delete(peer)
    if (transfer.source === peer) this.#sources.remove(transfer)
  }

  async #take(asked: Request, bytes: Uint8Array): Promise<void> {
    const { transfer, index, peer } = asked
    // Who made the chunk could have named the hash of any bytes.
    const isVouched = peer === transfer.ref.home && this.#options.isTrusted(peer)
    const draft = (): Draft => this.#options.draft(transfer.ref, transfer.inMemory)
    try {
      const isRight =
        index === null
          ? await takeHashes(transfer, bytes)
          : await takePiece(transfer, index, bytes, { draft, isVouched })
      if (transfer.left === 0 && transfer.hashes !== null && !transfer.isOver) this.#finish(transfer)
      if (isRight) this.#sources.settled(asked)
      else this.#mismatched(asked)
    } catch (error) {
      // The disk failed, or memory did.
      this.#fail(transfer, error)
      this.#sources.settled(asked)
    } finally {
      giveBody(bytes)
    }
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
    endTransfer(transfer)
    this.#running.delete(transfer.ref.id)
    this.#sources.remove(transfer)
  }

  /** Peers that live but do not answer, and holders that never came. */
  #look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    const { clock } = this.#options
    clock.setTimer(clock.now() + lookMs, () => {
      this.#isLooking = false
      for (const { transfer, peer } of this.#sources.leaveSilent()) transfer.holders.delete(peer)
      for (const transfer of [...this.#running.values()]) this.#go(transfer)
      if (this.#running.size > 0) this.#look()
    })
  }
}

function closedError(): ShoalError {
  return new ShoalError('E_CLOSED', 'Cannot fetch a chunk as its store must be open: it was closed')
}

function lostError(ref: ChunkRef): ShoalError {
  const text = `Cannot fetch chunk ${ref.id} as a peer that can be reached must have it: nobody has`
  return new ShoalError('E_CHUNK_LOST', text, { data: { chunk: ref.id } })
}
