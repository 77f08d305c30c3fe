import { type DBSchema, openDB } from 'idb'
import { holdSlot } from '../membership/identity.browser.ts'
import type { OpenDisk } from './disk.ts'

interface PieceSchema extends DBSchema {
  pieces: { key: [chunk: number, index: number]; value: Uint8Array }
}

/** Longest wait for the database, in milliseconds. */
const openTimeoutMs = 5_000

/**
 * Keeps chunks in IndexedDB, piece by piece. Each tab has a database of its own, which is emptied first: a page
 * that is loaded again starts with nothing, and so does the next tab after one that crashed.
 */
export function idbDisk(prefix = 'shoal chunks'): OpenDisk {
  return async () => {
    const slot = await holdSlot(prefix)
    try {
      const opening = openDB<PieceSchema>(slot.name, 1, {
        upgrade: (database) => void database.createObjectStore('pieces'),
      })
      const database = await inTime(opening, slot.name)
      await database.clear('pieces')
      const all = (key: number): IDBKeyRange => IDBKeyRange.bound([key], [key, []])
      return {
        async write(key, index, bytes) {
          // A view would take the whole buffer behind it along.
          const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
          await database.put('pieces', own, [key, index])
        },
        async read(key, index, sizeBytes) {
          const bytes = await database.get('pieces', [key, index])
          if (bytes?.length === sizeBytes) return bytes
          throw new Error(`piece ${index} has ${bytes?.length ?? 'no'} bytes instead of ${sizeBytes}`)
        },
        drop: (key) => database.delete('pieces', all(key)),
        async close() {
          await database.clear('pieces').catch(() => {})
          database.close()
          slot.release()
        },
      }
    } catch (error) {
      slot.release()
      throw error
    }
  }
}

function inTime<T extends { close(): void }>(opening: Promise<T>, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      reject(new Error(`database "${name}" did not open within ${openTimeoutMs} ms`))
    }, openTimeoutMs)
    opening
      .then(
        // One that opens after all would keep others waiting.
        (database) => (isLate ? database.close() : resolve(database)),
        reject,
      )
      .finally(() => clearTimeout(timer))
  })
}
