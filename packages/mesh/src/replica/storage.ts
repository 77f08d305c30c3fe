import type { ShoalError, Unsubscribe } from '@shoal/scheduler'
import type { DocumentName } from './document.ts'

/** One stored document: its updates in the order in which they were applied. */
export interface StoredDocument {
  readonly name: DocumentName
  readonly updates: readonly Uint8Array[]
}

/**
 * Where documents outlive a replica. Calls are kept in order per document; an implementation gathers
 * them into few writes. One that throws costs durability only: the replica goes on, tells `onRefused`, and
 * tries to store a snapshot with the next change.
 */
export interface ReplicaStorage {
  /** At once where the storage is that fast: then nothing arrives before it. */
  load(): Promise<readonly StoredDocument[]> | readonly StoredDocument[]
  append(name: DocumentName, update: Uint8Array): void
  /** Replaces everything stored of a document. */
  compact(name: DocumentName, snapshot: Uint8Array): void
  drop(name: DocumentName): void
  /** Documents that it could not keep as they are now: the replica offers them whole, now and then. */
  unsaved?(): readonly DocumentName[]
  /**
   * Resolves when everything given so far is on a disk that makes work durable by itself. Left out where
   * it does not: in memory, and in browsers, where people close tabs and clear storage.
   * @throws ShoalError as the fault of {@link DurableStorage}
   */
  onDisk?(): Promise<void>
}

/** Storage that outlives its process, as long as it works. */
export interface DurableStorage extends ReplicaStorage {
  unsaved(): readonly DocumentName[]
  /** Why something is not kept at present; `null` when all is well. */
  readonly fault: ShoalError | null
  /** Any change of `fault`. */
  onFault(listener: () => void): Unsubscribe
  /** Writes what waits, and resolves when that is done, well or not. */
  flush(): Promise<void>
  /** Writes what waits, then lets go. Idempotent. */
  close(): Promise<void>
}

/** Keeps updates in this process: for tests, and to show what an implementation must do. */
export function memoryReplicaStorage(): ReplicaStorage {
  const documents = new Map<DocumentName, Uint8Array[]>()
  return {
    load: async () => [...documents].map(([name, updates]) => ({ name, updates: [...updates] })),
    append(name, update) {
      const updates = documents.get(name)
      if (updates === undefined) documents.set(name, [update])
      else updates.push(update)
    },
    compact: (name, snapshot) => void documents.set(name, [snapshot]),
    drop: (name) => void documents.delete(name),
  }
}
