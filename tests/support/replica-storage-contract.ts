import { describe, expect, test } from 'vitest'
import type { DocumentName, ReplicaStorage, StoredDocument } from '../../packages/mesh/src/replica/index.ts'

export interface StorageHarness {
  readonly name: string
  /** A place for documents that is empty at first. */
  create(): Promise<StoragePlace>
}

export interface StoragePlace {
  /** Opens the storage; the one opened before is closed by then. */
  open(): Promise<ReplicaStorage>
  /** Ends the storage that is open, with everything written. */
  close(): Promise<void>
}

/** What every storage of documents has to do. */
export function replicaStorageContract({ name, create }: StorageHarness): void {
  /** What a later start finds. */
  async function after(...acts: ((storage: ReplicaStorage) => void)[]): Promise<readonly StoredDocument[]> {
    const place = await create()
    for (const act of acts) {
      const storage = await place.open()
      await storage.load()
      act(storage)
      await place.close()
    }
    const last = await place.open()
    const stored = await last.load()
    await place.close()
    return stored
  }

  describe(`${name}, as storage of documents`, () => {
    test('holds nothing at first', async () => {
      expect(await after()).toEqual([])
    })

    test('gives back the updates of each document in their order', async () => {
      const stored = await after(
        (storage) => {
          storage.append('job:a', bytes(1))
          storage.append('lane:p', bytes(9, 9))
          storage.append('job:a', bytes(2))
        },
        (storage) => storage.append('job:a', bytes(3)),
      )
      expect(joined(stored)).toEqual({ 'job:a': [1, 2, 3], 'lane:p': [9, 9] })
    })

    test('a snapshot takes the place of what was before it, and updates follow it', async () => {
      const stored = await after(
        (storage) => {
          storage.append('job:a', bytes(1))
          storage.compact('job:a', bytes(7))
          storage.append('job:a', bytes(8))
        },
        (storage) => {
          storage.append('job:a', bytes(9))
          storage.compact('job:b', bytes(5))
        },
        (storage) => storage.compact('job:b', bytes(6)),
      )
      expect(joined(stored)).toEqual({ 'job:a': [7, 8, 9], 'job:b': [6] })
    })

    test('a dropped document is gone, and may begin anew', async () => {
      const stored = await after(
        (storage) => {
          for (const job of ['job:a', 'job:b', 'job:c']) storage.append(job, bytes(1))
          storage.drop('job:c')
          storage.drop('job:never')
        },
        (storage) => {
          storage.drop('job:a')
          storage.drop('job:b')
          storage.append('job:b', bytes(2))
        },
      )
      expect(joined(stored)).toEqual({ 'job:b': [2] })
    })

    test('takes any name and any size', async () => {
      const names = [
        'job:../../etc',
        'job:a/b\\c:*?"<>|',
        `job:${'x'.repeat(296)}`,
        'job:ü☃🌊',
        'job:A',
        'job:a',
      ]
      const large = Uint8Array.from({ length: 1_500_000 }, (_, at) => (at * 31) & 255)
      const stored = await after((storage) => {
        for (const name of names) storage.append(name, new TextEncoder().encode(name))
        storage.append('job:large', large)
        storage.append('job:large', new Uint8Array(0))
      })
      const found = new Map(stored.map(({ name, updates }) => [name, updates]))
      expect([...found.keys()].sort()).toEqual([...names, 'job:large'].sort())
      for (const name of names) expect(new TextDecoder().decode(found.get(name)?.[0])).toBe(name)
      expect(areEqual(found.get('job:large')?.[0], large)).toBe(true)
    })

    test('ends where the same calls end in memory', async () => {
      const model = new Map<DocumentName, number[]>()
      const act = (seed: number) => (storage: ReplicaStorage) => {
        for (let no = 0; no < 200; no++) {
          const draw = (seed * 7919 + no * 104_729) % 1009
          const name = `job:${draw % 7}`
          const byte = draw & 255
          if (draw % 13 === 0) {
            storage.drop(name)
            model.delete(name)
          } else if (draw % 11 === 0) {
            storage.compact(name, bytes(byte))
            model.set(name, [byte])
          } else {
            storage.append(name, bytes(byte))
            model.set(name, [...(model.get(name) ?? []), byte])
          }
        }
      }
      const stored = await after(act(1), act(2), act(3))
      expect(joined(stored)).toEqual(Object.fromEntries(model))
      expect(model.size).toBeGreaterThan(3)
    })
  })
}

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values)
}

/** All bytes of each document: a storage may join updates, or not. */
function joined(stored: readonly StoredDocument[]): Record<DocumentName, number[]> {
  const entries = stored.map(({ name, updates }) => [name, updates.flatMap((update) => [...update])] as const)
  return Object.fromEntries(entries)
}

function areEqual(left: Uint8Array | undefined, right: Uint8Array): boolean {
  return left?.length === right.length && left.every((byte, at) => byte === right[at])
}
