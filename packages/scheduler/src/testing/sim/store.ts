import type { SimRng } from './rng.ts'

/** What a peer's replica keeps on its disk: an append-only log per document. */
export interface SimStore {
  /** Every document's entries, in writing order. */
  load(): ReadonlyMap<string, readonly Uint8Array[]>
  /** @throws Error when this write fails; nothing of it is kept then */
  append(document: string, bytes: Uint8Array): void
  /** Puts one entry in place of all that a document has. */
  compact(document: string, bytes: Uint8Array): void
  drop(document: string): void
}

/** What can go wrong with a disk. Rates from 0 to 1. */
export interface StoreFaults {
  /** Writes that fail loudly. */
  readonly failRate: number
  /** Entries that a crash takes from the end of each document, at most. */
  readonly tornMax: number
  /** Crashes that take everything: a private window, a wiped disk. */
  readonly lossRate: number
}

export interface SimDisk extends SimStore {
  /** The machine died: what was not safe is gone. */
  crash(): void
}

export function createSimDisk(rng: SimRng, faults: StoreFaults): SimDisk {
  const documents = new Map<string, Uint8Array[]>()
  return {
    load: () => new Map([...documents].map(([document, entries]) => [document, [...entries]])),
    append(document, bytes) {
      if (rng.chance(faults.failRate)) throw new Error('Cannot write to the simulated disk as it is full')
      const entries = documents.get(document)
      if (entries === undefined) documents.set(document, [bytes])
      else entries.push(bytes)
    },
    compact(document, bytes) {
      documents.set(document, [bytes])
    },
    drop(document) {
      documents.delete(document)
    },
    crash() {
      if (rng.chance(faults.lossRate)) documents.clear()
      for (const entries of documents.values()) {
        entries.length = Math.max(0, entries.length - rng.int(faults.tornMax + 1))
      }
    },
  }
}
