import type { ChunkRef, PeerId, ShoalError } from '@shoal/scheduler'
import { digest } from './digests.ts'
import { hashBytes, isHashList, isPiece, pieceCount, pieceSize } from './pieces.ts'
import type { Draft } from './shelf.ts'

/** Somebody who waits for a chunk. */
export interface Waiter {
  resolve(bytes: Uint8Array | null): void
  reject(reason: unknown): void
}

/** A chunk on its way here: which of its pieces came, and which are to be asked for. */
export interface Transfer {
  readonly ref: ChunkRef
  /** May still have it, as far as this peer knows. */
  readonly holders: Set<PeerId>
  readonly waiters: Set<Waiter>
  /** Nobody that this peer has not met is waited for longer. */
  readonly meetsUntil: number
  inMemory: boolean
  source: PeerId | null
  hashes: Uint8Array | null
  /** Pieces that came before the hashes that they are checked against. */
  readonly early: (() => void)[]
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

export function createTransfer(ref: ChunkRef, meetsUntil: number): Transfer {
  const count = pieceCount(ref.sizeBytes)
  return {
    ref,
    holders: new Set(),
    waiters: new Set(),
    meetsUntil,
    inMemory: false,
    source: null,
    hashes: null,
    early: [],
    isHashesAsked: false,
    draft: null,
    again: [],
    next: 0,
    got: new Uint8Array(count),
    left: count,
    mismatch: null,
    isOver: false,
  }
}

/** What is to be asked for next, hashes first; `undefined`: nothing. */
export function nextIndex(transfer: Transfer): number | null | undefined {
  const count = pieceCount(transfer.ref.sizeBytes)
  if (transfer.hashes === null && count > 1 && !transfer.isHashesAsked) {
    transfer.isHashesAsked = true
    return null
  }
  for (let index = transfer.again.pop(); index !== undefined; index = transfer.again.pop()) {
    // What was asked for in vain may have come after all.
    if (transfer.got[index] === 0) return index
  }
  return transfer.next < count ? transfer.next++ : undefined
}

/** It was asked for in vain. */
export function giveBack(transfer: Transfer, index: number | null): void {
  if (index === null) transfer.isHashesAsked = false
  else if (transfer.got[index] === 0) transfer.again.push(index)
}

/** Bytes of the answer to a request. */
export function answerSize({ ref }: Transfer, index: number | null): number {
  return index === null ? pieceCount(ref.sizeBytes) * hashBytes : pieceSize(ref.sizeBytes, index)
}

/** `false`: they are not this chunk's. */
export async function takeHashes(transfer: Transfer, hashes: Uint8Array): Promise<boolean> {
  if (!(await isHashList(hashes, transfer.ref))) return false
  transfer.hashes ??= hashes.slice()
  release(transfer)
  return true
}

/**
 * Checks a piece and writes it; when it came before the hashes, once they are here. What is vouched for is not checked,
 * unless it is the only piece: then its hash is the list.
 * @returns `false`: its bytes are not this chunk's
 * @throws what the draft throws
 */
export async function takePiece(
  transfer: Transfer,
  index: number,
  bytes: Uint8Array,
  { draft, isVouched }: { readonly draft: () => Draft; readonly isVouched: boolean },
): Promise<boolean> {
  if (transfer.got.length === 1) {
    // The only piece comes without a list: it is the list's only entry.
    if (!(await takeHashes(transfer, await digest(bytes)))) return false
  } else if (!isVouched) {
    if (transfer.hashes === null) await new Promise<void>((resolve) => transfer.early.push(resolve))
    if (transfer.isOver) return true
    if (!(await isPiece(bytes, transfer.hashes as Uint8Array, index))) return false
  }
  if (transfer.isOver || transfer.got[index] === 1) return true
  transfer.got[index] = 1
  transfer.draft ??= draft()
  await transfer.draft.write(index, bytes)
  transfer.left--
  return true
}

/** No more is written; who waits for hashes waits in vain. */
export function endTransfer(transfer: Transfer): void {
  transfer.isOver = true
  release(transfer)
}

function release({ early }: Transfer): void {
  for (const go of early.splice(0)) go()
}
