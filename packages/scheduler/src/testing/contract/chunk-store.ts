import { afterEach, describe, expect, test } from 'vitest'
import { type ChunkId, type ChunkRef, chunkId } from '../../model/chunk.ts'
import type { PeerId } from '../../model/ids.ts'
import type { ChunkStore } from '../../ports.ts'

/** An implementation of the port `ChunkStore` under test, without other peers. */
export interface ChunkStoreContract {
  readonly name: string
  /** A store that is empty and belongs to `self`. */
  create(options: { readonly self: PeerId; readonly memoryBytesMax: number }): Promise<ChunkStore>
  /** Whether chunks above the memory limit go somewhere else. */
  readonly hasDisk: boolean
}

const self = 'peer-a' as PeerId
const mebibyte = 2 ** 20
let made = 0

function freshId(): ChunkId {
  return chunkId(self, 1, made++)
}

/** Bytes that differ from piece to piece and from seed to seed. */
export function chunkBytes(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  let state = seed
  for (let at = 0; at < sizeBytes; at += 61) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

/** Compares without listing millions of values when it fails. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length)
  expect(actual.findIndex((byte, at) => byte !== expected[at])).toBe(-1)
}

function codeOf(code: string): object {
  return expect.objectContaining({ code })
}

/** Holds every chunk store to the same rules. */
export function chunkStoreContract(contract: ChunkStoreContract): void {
  const open: ChunkStore[] = []
  async function create(memoryBytesMax = 64 * mebibyte): Promise<ChunkStore> {
    const store = await contract.create({ self, memoryBytesMax })
    open.push(store)
    return store
  }
  afterEach(async () => {
    await Promise.all(open.splice(0).map((store) => store.close()))
  })

  describe(`ChunkStore: ${contract.name}`, () => {
    test.each([0, 1, 65_537, mebibyte - 1, mebibyte, mebibyte + 1, 3 * mebibyte])(
      '[CH1] gives back the same %i bytes',
      async (sizeBytes) => {
        const store = await create()
        const id = freshId()
        expect(store.has(id)).toBe(false)
        const ref = await store.put(id, chunkBytes(sizeBytes))
        expect(ref).toMatchObject({ id, sizeBytes, home: self })
        expect(store.has(id)).toBe(true)
        expectSameBytes(await store.fetch(ref, []), chunkBytes(sizeBytes))
        expect(store.stats).toMatchObject({ heldBytes: sizeBytes, movedInBytes: 0, movedOutBytes: 0 })
      },
    )

    test('[CH1] tells once when a chunk came and when it went', async () => {
      const store = await create()
      const told: [ChunkId, boolean][] = []
      const stop = store.onHeld((...args) => told.push(args))
      const ref = await store.put(freshId(), chunkBytes(1000))
      await store.put(ref.id, chunkBytes(1000))
      await store.fetch(ref, [])
      store.drop(ref.id)
      store.drop(ref.id)
      stop()
      await store.put(freshId(), chunkBytes(1000))
      expect(told).toEqual([
        [ref.id, true],
        [ref.id, false],
      ])
      expect(store.has(ref.id)).toBe(false)
    })

    test('[CH1] what was dropped, or never was, is lost: E_CHUNK_LOST', async () => {
      const store = await create()
      const ref = await store.put(freshId(), chunkBytes(1000))
      store.drop(ref.id)
      await expect(store.fetch(ref, [])).rejects.toThrow(codeOf('E_CHUNK_LOST'))
      await expect(store.fetch(ref, [self])).rejects.toThrow(codeOf('E_CHUNK_LOST'))
      await expect(store.fetch({ ...ref, id: freshId() }, [])).rejects.toThrow(codeOf('E_CHUNK_LOST'))
      expect(store.stats.heldBytes).toBe(0)
    })

    test.each<[string, string, (ref: ChunkRef) => Partial<ChunkRef>]>([
      ['has another hash', 'E_CHUNK_REF', (ref) => ({ hash: ref.hash.map((byte) => byte ^ 1) })],
      ['has another size', 'E_CHUNK_REF', () => ({ sizeBytes: 999 })],
      ['has a hash that is cut', 'E_CHUNK_REF', (ref) => ({ hash: ref.hash.slice(1) })],
      ['has a negative size', 'E_CHUNK_REF', () => ({ sizeBytes: -1 })],
      ['has half a byte', 'E_CHUNK_REF', () => ({ sizeBytes: 0.5 })],
      ['says that it is larger than all memory', 'E_TOO_LARGE', () => ({ sizeBytes: 2 ** 50 })],
    ])('[65] a reference that %s: %s', async (_name, code, change) => {
      const store = await create()
      const ref = await store.put(freshId(), chunkBytes(1000))
      await expect(store.fetch({ ...ref, ...change(ref) }, [])).rejects.toThrow(codeOf(code))
      expectSameBytes(await store.fetch(ref, []), chunkBytes(1000))
    })

    test('[CH1] an id is used for one value only: E_CHUNK_REF', async () => {
      const store = await create()
      const ref = await store.put(freshId(), chunkBytes(1000))
      await expect(store.put(ref.id, chunkBytes(1001))).rejects.toThrow(codeOf('E_CHUNK_REF'))
      expectSameBytes(await store.fetch(ref, []), chunkBytes(1000))
    })

    test('[CH1] many at once are counted right', async () => {
      const store = await create()
      const refs = await Promise.all(
        [1, 2, 3, 4].map((seed) => store.put(freshId(), chunkBytes(70_000, seed))),
      )
      expect(store.stats.heldBytes).toBe(280_000)
      const all = await Promise.all(refs.map((ref) => store.fetch(ref, [])))
      for (const [index, bytes] of all.entries()) expectSameBytes(bytes, chunkBytes(70_000, index + 1))
      for (const ref of refs) store.drop(ref.id)
      expect(store.stats.heldBytes).toBe(0)
    })

    test('[CH1] a fetch whose signal has fired ends with its reason', async () => {
      const store = await create()
      const ref = await store.put(freshId(), chunkBytes(1000))
      const reason = new Error('no more')
      const signal = { aborted: true, reason, addEventListener() {}, removeEventListener() {} }
      await expect(store.fetch(ref, [], signal)).rejects.toBe(reason)
    })

    test('[CH1] a closed store refuses: E_CLOSED', async () => {
      const store = await create()
      const ref = await store.put(freshId(), chunkBytes(1000))
      await Promise.all([store.close(), store.close()])
      await expect(store.put(freshId(), chunkBytes(1))).rejects.toThrow(codeOf('E_CLOSED'))
      await expect(store.fetch(ref, [])).rejects.toThrow(codeOf('E_CLOSED'))
    })

    describe.runIf(contract.hasDisk)('above its memory limit', () => {
      test('[CH2] the least recently used chunks leave memory, and can all be read', async () => {
        const store = await create(4 * mebibyte)
        const refs: ChunkRef[] = []
        for (let seed = 0; seed < 8; seed++) {
          refs.push(await store.put(freshId(), chunkBytes(1.5 * mebibyte, seed)))
          const first = refs[0] as ChunkRef
          // Used each time, so that it stays.
          if (seed < 3) await store.fetch(first, [])
          expect(store.stats.memoryBytes).toBeLessThanOrEqual(4 * mebibyte)
        }
        expect(store.stats).toMatchObject({ heldBytes: 12 * mebibyte, diskBytes: 9 * mebibyte })
        for (const [seed, ref] of refs.entries()) {
          expectSameBytes(await store.fetch(ref, []), chunkBytes(1.5 * mebibyte, seed))
        }
      })

      test('[CH2] one that is larger than the limit does not push out the others', async () => {
        const store = await create(2 * mebibyte)
        const small = await store.put(freshId(), chunkBytes(mebibyte))
        const large = await store.put(freshId(), chunkBytes(5 * mebibyte + 3, 2))
        expect(store.stats).toMatchObject({ memoryBytes: mebibyte, diskBytes: 5 * mebibyte + 3 })
        expectSameBytes(await store.fetch(large, []), chunkBytes(5 * mebibyte + 3, 2))
        expectSameBytes(await store.fetch(small, []), chunkBytes(mebibyte))
      })

      test('[CH2] what is dropped leaves the disk, too', async () => {
        const store = await create(mebibyte)
        for (let round = 0; round < 3; round++) {
          const ref = await store.put(freshId(), chunkBytes(3 * mebibyte, round))
          store.drop(ref.id)
          expect(store.stats).toMatchObject({ heldBytes: 0, memoryBytes: 0, diskBytes: 0 })
        }
      })

      test('[CH2] one that is dropped on its way to the disk is gone', async () => {
        const store = await create(mebibyte)
        const id = freshId()
        const putting = store.put(id, chunkBytes(6 * mebibyte))
        await new Promise<void>((resolve) => {
          const stop = store.onHeld(() => {
            stop()
            resolve()
          })
        })
        store.drop(id)
        await putting
        expect(store.has(id)).toBe(false)
        expect(store.stats).toMatchObject({ heldBytes: 0, memoryBytes: 0, diskBytes: 0 })
      })
    })
  })
}
