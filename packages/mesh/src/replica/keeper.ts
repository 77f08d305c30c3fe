import { ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import type { DocumentName, ReplicatedDocument } from './document.ts'
import type { Documents } from './documents.ts'
import type { ReplicaLimits } from './limits.ts'
import type { ReplicaStorage, StoredDocument } from './storage.ts'

export interface KeeperOptions {
  readonly storage: ReplicaStorage
  readonly documents: Documents
  readonly limits: ReplicaLimits
  /** The storage failed; what it could not keep is offered to it again. */
  readonly onError: (error: ShoalError) => void
}

/** Keeps documents in a storage, and brings them back. */
export interface Keeper {
  /** Called by Yjs in the middle of its work: whatever the storage does, nothing may escape. */
  append(document: ReplicatedDocument, update: Uint8Array): void
  /** Offers the storage what it could not keep before, whole. */
  again(): void
  /** Applies what was stored in earlier starts, until `isOver`. Never rejects. */
  restore(isOver: () => boolean): Promise<void>
}

export function createKeeper({ storage, documents, limits, onError }: KeeperOptions): Keeper {
  const restoreAll = (stored: readonly StoredDocument[], isOver: () => boolean): void => {
    for (const { name, updates } of stored) {
      if (isOver()) return
      try {
        documents.restore(name, updates)
      } catch (error) {
        onError(storageError(name, error))
      }
    }
  }

  return {
    append(document, update) {
      if (document.isRestoring) return
      const isFull = ++document.stored >= limits.compactAfter
      try {
        if (isFull) storage.compact(document.name, Y.encodeStateAsUpdate(document.doc))
        else storage.append(document.name, update)
        if (isFull) document.stored = 0
      } catch (error) {
        document.stored = limits.compactAfter
        onError(storageError(document.name, error))
      }
    },
    again() {
      for (const name of storage.unsaved?.() ?? []) {
        const document = documents.get(name)
        if (document === undefined) continue
        document.stored = 0
        storage.compact(name, Y.encodeStateAsUpdate(document.doc))
      }
    },
    restore(isOver) {
      const loaded = storage.load()
      if (!(loaded instanceof Promise)) return Promise.resolve(restoreAll(loaded, isOver))
      return loaded.then(
        (stored) => restoreAll(stored, isOver),
        (error: unknown) => onError(storageError('all', error)),
      )
    },
  }
}

function storageError(name: DocumentName, cause: unknown): ShoalError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new ShoalError('E_STORAGE', `Cannot keep "${name}" in the storage: ${reason}`, { cause })
}
