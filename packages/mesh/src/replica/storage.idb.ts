import { ShoalError } from '@shoal/scheduler'
import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import type { DocumentName } from './document.ts'
import { createStorageQueue, type StorageBackend, storageFault } from './storage.queue.ts'
import type { DurableStorage, StoredDocument } from './storage.ts'

/** What a browser keeps for one peer. */
export interface PeerSchema extends DBSchema {
  /** Batches of updates, in order: one range of keys for each document. */
  updates: { key: [name: string, no: number]; value: readonly Uint8Array[] }
  /** Who the peer is. */
  peer: { key: string; value: unknown }
}

export type PeerDatabase = IDBPDatabase<PeerSchema>

/** Changes gather this long, in milliseconds: one transaction costs as much as many small writes in it. */
const batchMs = 50
/** Longest wait for the database, in milliseconds: another tab may hold an older version open. */
const openTimeoutMs = 5_000

/**
 * Opens the database of one peer.
 * @throws ShoalError `E_STORAGE_DENIED` where the browser keeps nothing for the page (private windows,
 *   settings), `E_QUOTA` when its disk is full, `E_STORAGE` when it does not answer or is broken
 */
export async function openPeerDatabase(name: string): Promise<PeerDatabase> {
  let timer: ReturnType<typeof setTimeout> | undefined
  let isLate = false
  try {
    const opening = openDB<PeerSchema>(name, 1, {
      upgrade(database) {
        database.createObjectStore('updates')
        database.createObjectStore('peer')
      },
      // A newer version of the page wants it: this one goes on without.
      blocking: (_have, _want, event) => (event.target as IDBDatabase).close(),
    })
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true
        reject(lateError(name))
      }, openTimeoutMs)
    })
    opening.then(
      // One that opens after all would keep others waiting.
      (database) => isLate && database.close(),
      () => {},
    )
    return await Promise.race([opening, late])
  } catch (error) {
    throw storageFault(error)
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Keeps documents in a browser's database. Writes gather for 50 ms, and are made at once when the page is
 * hidden or goes away.
 * @throws ShoalError as {@link openPeerDatabase}
 */
export async function openIdbStorage(database: PeerDatabase): Promise<DurableStorage> {
  const stored = await readAll(database).catch((error: unknown) => {
    throw storageFault(error)
  })
  const backend = createBackend(database, stored.nextNo)
  const queue = createStorageQueue({ backend, loaded: stored.documents, batchMs, isDisk: false })
  const flush = (): void => void queue.flush()
  globalThis.addEventListener?.('pagehide', flush)
  globalThis.document?.addEventListener('visibilitychange', flush)
  const closeQueue = queue.close.bind(queue)
  return Object.assign(queue, {
    close(): Promise<void> {
      globalThis.removeEventListener?.('pagehide', flush)
      globalThis.document?.removeEventListener('visibilitychange', flush)
      return closeQueue()
    },
  })
}

async function readAll(database: PeerDatabase): Promise<{ documents: StoredDocument[]; nextNo: number }> {
  const transaction = database.transaction('updates')
  const [keys, values] = await Promise.all([transaction.store.getAllKeys(), transaction.store.getAll()])
  const byName = new Map<DocumentName, Uint8Array[]>()
  let nextNo = 0
  keys.forEach(([name, no], index) => {
    const updates = byName.get(name) ?? []
    byName.set(name, updates)
    // Whatever is damaged here is no reason to lose the rest.
    const value: unknown = values[index]
    if (Array.isArray(value)) updates.push(...value.filter((update) => update instanceof Uint8Array))
    nextNo = Math.max(nextNo, no + 1)
  })
  return { documents: [...byName].map(([name, updates]) => ({ name, updates })), nextNo }
}

function createBackend(database: PeerDatabase, firstNo: number): StorageBackend {
  let nextNo = firstNo
  return {
    async write(changes) {
      try {
        const transaction = database.transaction('updates', 'readwrite')
        const { store } = transaction
        const requests: Promise<unknown>[] = []
        for (const [name, { how, updates }] of changes) {
          if (how !== 'append') requests.push(store.delete(IDBKeyRange.bound([name], [name, []])))
          if (how !== 'drop') requests.push(store.put(updates, [name, nextNo++]))
        }
        await Promise.all([...requests, transaction.done])
        return new Map()
      } catch (error) {
        return new Map([...changes.keys()].map((name) => [name, error]))
      }
    },
    async close() {
      database.close()
    },
  }
}

function lateError(name: string): ShoalError {
  return new ShoalError(
    'E_STORAGE',
    `Cannot open "${name}" as it must answer within ${openTimeoutMs} ms: current value is no answer`,
  )
}
