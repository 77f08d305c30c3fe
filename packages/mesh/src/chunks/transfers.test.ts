import { type ChunkRef, chunkId, type PeerId } from '@shoal/scheduler'
import { chunkBytes, expectSameBytes } from '@shoal/scheduler/testing/contract/chunk-store'
import { describe, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { createTestClock } from '../membership/testing.ts'
import type { MeshChunkStore } from './store.ts'
import { createStoreWorld, type Said, type StoreWorld } from './testing.ts'

const a = 'a' as PeerId
const b = 'b' as PeerId
const c = 'c' as PeerId
const piece = limits.chunkPieceBytes

function codeOf(code: string): object {
  return expect.objectContaining({ code })
}

/** Three peers; what is put at `a` is at `b`, too. */
async function threePeers() {
  const clock = createTestClock()
  const world = createStoreWorld(clock)
  const stores = { a: world.join('a'), b: world.join('b'), c: world.join('c') }
  let n = 0
  const put = async (bytes: Uint8Array): Promise<ChunkRef> => {
    const ref = await stores.a.put(chunkId(a, 1, n++), bytes)
    await stores.b.put(ref.id, bytes)
    return ref
  }
  /** Moves time on until the promise is over; gives its value or its error. */
  const settle = async <T>(promise: Promise<T>): Promise<T> => {
    let isOver = false
    const done = (): void => {
      isOver = true
    }
    promise.then(done, done)
    await clock.until(() => isOver, 120_000)
    return promise
  }
  return { clock, world, stores, put, settle }
}

const asked = (world: StoreWorld, to: string): number[] =>
  world.said.flatMap((one) =>
    one.to === to && one.said.type === 'wanted' && one.said.wanted.index !== null
      ? [one.said.wanted.index]
      : [],
  )

describe('[CH3] a fetch pulls pieces from a holder', () => {
  test.each([0, 1, piece - 1, piece, piece + 1, 5 * piece + 7])('%i bytes', async (sizeBytes) => {
    const { stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(sizeBytes))
    expectSameBytes(await settle(stores.c.fetch(ref, [a])), chunkBytes(sizeBytes))
    expect(stores.c.has(ref.id)).toBe(true)
    const hashes = sizeBytes > piece ? 32 * Math.ceil(sizeBytes / piece) : 0
    expect(stores.c.stats).toMatchObject({ heldBytes: sizeBytes, movedInBytes: sizeBytes + hashes })
    expect(stores.a.stats.movedOutBytes).toBe(sizeBytes + hashes)
    expect(stores.b.stats.movedOutBytes).toBe(0)
  })

  test('concurrent fetches of one chunk share one transfer, and each piece travels once', async () => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(4 * piece))
    const all = await settle(Promise.all([1, 2, 3].map(() => stores.c.fetch(ref, [a]))))
    for (const bytes of all) expectSameBytes(bytes, chunkBytes(4 * piece))
    expect(asked(world, 'a').sort()).toEqual([0, 1, 2, 3])
  })

  test('a few pieces are asked for ahead, and a small chunk does not wait for a large one', async () => {
    const { world, stores, put, settle } = await threePeers()
    const large = await put(chunkBytes(40 * piece))
    const small = await put(chunkBytes(1000, 2))
    let open = 0
    let openMax = 0
    world.tamper = (_from, _to, said) => {
      open += said.type === 'wanted' ? 1 : -1
      openMax = Math.max(openMax, open)
      return said
    }
    const done: string[] = []
    const first = stores.c.fetch(large, [a]).then(() => done.push('large'))
    const second = stores.c.fetch(small, [a]).then(() => done.push('small'))
    await settle(Promise.all([first, second]))
    expect(done).toEqual(['small', 'large'])
    expect(openMax).toBeGreaterThan(1)
    expect(openMax).toBeLessThanOrEqual(limits.chunkPiecesAhead)
  })

  test('pieces are asked for several at once', async () => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(64 * piece))
    let bursts = 0
    let last = ''
    world.tamper = (_from, _to, said) => {
      if (said.type === 'wanted' && last !== 'wanted') bursts++
      last = said.type
      return said
    }
    await settle(stores.c.fetch(ref, [a]))
    expect(asked(world, 'a').length).toBe(64)
    expect(bursts).toBeLessThanOrEqual(64 / (limits.chunkPiecesAhead / 2) + 1)
  })

  test('holders share the work', async () => {
    const { world, stores, put, settle } = await threePeers()
    const refs = [await put(chunkBytes(2 * piece, 1)), await put(chunkBytes(2 * piece, 2))]
    await settle(Promise.all(refs.map((ref) => stores.c.fetch(ref, [a, b]))))
    expect([asked(world, 'a').length, asked(world, 'b').length]).toEqual([2, 2])
  })
})

describe('[CH4] a holder that goes', () => {
  /** Calls `act` when `c` has got that many pieces. */
  function afterPieces(world: StoreWorld, count: number, act: () => void): void {
    let left = count + 1
    world.tamper = (_from, to, said) => {
      if (to === 'c' && said.type === 'piece' && --left === 0) act()
      return left <= 0 && to === 'c' && said.type === 'piece' && left === 0 ? null : said
    }
  }

  test.each(['away', 'gone'] as const)('is %s: the rest comes from another one', async (reach) => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(60 * piece))
    afterPieces(world, 30, () => world.setReach('a', 'c', reach))
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(60 * piece))
    expect(asked(world, 'b').length).toBeGreaterThan(5)
    expect(asked(world, 'b').length).toBeLessThanOrEqual(30 + limits.chunkPiecesAhead)
  })

  test('comes back: what is here is not asked for again', async () => {
    const { clock, world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(60 * piece))
    afterPieces(world, 30, () => {
      world.setReach('a', 'c', 'away')
      clock.setTimer(clock.now() + 20_000, () => world.setReach('a', 'c', 'linked'))
    })
    expectSameBytes(await settle(stores.c.fetch(ref, [a])), chunkBytes(60 * piece))
    expect(asked(world, 'a').length).toBeLessThanOrEqual(60 + limits.chunkPiecesAhead)
  })

  test('is the only one: E_CHUNK_LOST at once, and the memory is free', async () => {
    const { clock, world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(20 * piece))
    afterPieces(world, 8, () => world.setReach('a', 'c', 'gone'))
    const from = clock.now()
    await expect(settle(stores.c.fetch(ref, [a]))).rejects.toThrow(codeOf('E_CHUNK_LOST'))
    expect(clock.now() - from).toBeLessThan(1_000)
    expect(stores.c.stats.heldBytes).toBe(0)
  })

  test('has dropped it in the middle: the rest comes from another one', async () => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(20 * piece))
    afterPieces(world, 8, () => stores.a.drop(ref.id))
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(20 * piece))
  })

  test('does not answer: after a minute another one is asked', async () => {
    const { clock, world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(2 * piece))
    world.tamper = (from, _to, said) => (from === 'a' ? null : said)
    const startedAt = clock.now()
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(2 * piece))
    expect(clock.now() - startedAt).toBeGreaterThanOrEqual(limits.chunkAnswerTimeoutMs)
  })

  test('nobody has met yet: it is waited for, but not for ever', async () => {
    const { clock, world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(1000))
    world.setReach('a', 'c', 'gone')
    const fetching = stores.c.fetch(ref, [a])
    await clock.advance(limits.chunkHolderWaitMs / 2)
    world.setReach('a', 'c', 'linked')
    expectSameBytes(await settle(fetching), chunkBytes(1000))
    stores.c.drop(ref.id)
    await expect(settle(stores.c.fetch(ref, ['d' as PeerId]))).rejects.toThrow(codeOf('E_CHUNK_LOST'))
  })
})

describe('[CH5] a fetch that nobody wants any more', () => {
  test('ends with the reason of its signal; others that share it go on', async () => {
    const { stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(10 * piece))
    const stopped = new AbortController()
    const first = stores.c.fetch(ref, [a], stopped.signal)
    const second = stores.c.fetch(ref, [a])
    const reason = new Error('changed my mind')
    stopped.abort(reason)
    await expect(first).rejects.toBe(reason)
    expectSameBytes(await settle(second), chunkBytes(10 * piece))
  })

  test('stops asking, takes what is on the way as asked for, and can begin again', async () => {
    const { clock, world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(10 * piece))
    const stopped = new AbortController()
    const first = stores.c.fetch(ref, [a], stopped.signal)
    world.tamper = (_from, to, said) => {
      if (to === 'c' && said.type === 'piece' && said.bytes?.length === piece)
        stopped.abort(new Error('enough'))
      return said
    }
    await expect(settle(first)).rejects.toThrow('enough')
    await clock.advance(1_000)
    expect(asked(world, 'a').length).toBeLessThanOrEqual(limits.chunkPiecesAhead)
    expect(world.refusals).toEqual([])
    expect(stores.c.has(ref.id)).toBe(false)
    world.tamper = (_from, _to, said) => said
    expectSameBytes(await settle(stores.c.fetch(ref, [a])), chunkBytes(10 * piece))
  })

  test('ends when the store is closed: E_CLOSED', async () => {
    const { stores, put } = await threePeers()
    const ref = await put(chunkBytes(10 * piece))
    const fetching = stores.c.fetch(ref, [a])
    await stores.c.close()
    await expect(fetching).rejects.toThrow(codeOf('E_CLOSED'))
  })
})

describe('[66] bytes that do not match', () => {
  const spoil = (said: Said): Said => {
    if (said.type !== 'piece' || said.bytes === null) return said
    const bytes = said.bytes.slice()
    bytes[0] = (bytes[0] ?? 0) ^ 1
    return { ...said, bytes }
  }

  test.each([
    ['of a small chunk', 1000, () => true],
    ['in the middle', 5 * piece, (index: number) => index === 3],
    ['in the hashes', 5 * piece, (index: number) => index === 0],
  ])('%s: E_HASH to who sent them; another holder gives the right ones', async (_name, sizeBytes, isBad) => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(sizeBytes))
    let count = 0
    world.tamper = (from, _to, said) =>
      from === 'a' && said.type === 'piece' && isBad(count++) ? spoil(said) : said
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(sizeBytes))
    expect(world.refusals).toEqual(['c refused a: E_HASH'])
  })

  test('[CH4] pieces of the member that made the chunk are not hashed again, all others are', async () => {
    const { world, stores, put, settle } = await threePeers()
    world.trusted.add('a').add('b')
    const last = 4
    let isSpoilt = (_from: string, _index: number): boolean => false
    const indices = new Map<number, number | null>()
    world.tamper = (from, _to, said) => {
      if (said.type === 'wanted') indices.set(said.wanted.request, said.wanted.index)
      if (said.type === 'wanted') return said
      return isSpoilt(from, indices.get(said.request) ?? -1) ? spoil(said) : said
    }
    const ref = await put(chunkBytes(5 * piece))
    isSpoilt = (_from, index) => index === last
    const taken = await settle(stores.c.fetch(ref, [a]))
    expectSameBytes(taken.subarray(0, last * piece), chunkBytes(last * piece))
    expect(taken[last * piece]).not.toBe(chunkBytes(5 * piece)[last * piece])
    expect(world.refusals).toEqual([])
    stores.c.drop(ref.id)
    // A copy is no word of who made it, and hashes are always looked at.
    await expect(settle(stores.c.fetch(ref, [b]))).rejects.toThrow(codeOf('E_HASH'))
    isSpoilt = (_from, index) => index === -1
    await expect(settle(stores.c.fetch(ref, [a]))).rejects.toThrow(codeOf('E_HASH'))
    world.trusted.clear()
    isSpoilt = (_from, index) => index === last
    await expect(settle(stores.c.fetch(ref, [a]))).rejects.toThrow(codeOf('E_HASH'))
  })

  test('[CH4] what the disk of a holder damaged is not given out', async () => {
    const { world, stores, clock, settle } = await threePeers()
    let isDamaged = false
    const kept = new Map<string, Uint8Array>()
    const openDisk = async () => ({
      write: async (key: number, index: number, bytes: Uint8Array) =>
        void kept.set(`${key} ${index}`, bytes.slice()),
      read: async (key: number, index: number) => {
        const bytes = (kept.get(`${key} ${index}`) ?? new Uint8Array(0)).slice()
        return isDamaged ? bytes.fill(7) : bytes
      },
      drop: async () => {},
      close: async () => {},
    })
    const d = world.join('d', { memoryBytesMax: 1000, openDisk })
    world.trusted.add('d')
    const ref = await d.put(chunkId('d' as PeerId, 1, 1), chunkBytes(3 * piece))
    await clock.until(() => d.stats.memoryBytes === 0)
    expectSameBytes(await settle(stores.c.fetch(ref, ['d' as PeerId])), chunkBytes(3 * piece))
    stores.c.drop(ref.id)
    isDamaged = true
    await expect(settle(stores.c.fetch(ref, ['d' as PeerId]))).rejects.toThrow(codeOf('E_CHUNK_LOST'))
    expect([d.has(ref.id), world.refusals]).toEqual([false, []])
  })

  test('from everybody: E_HASH, and the peer goes on', async () => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(3 * piece))
    world.tamper = (_from, _to, said) => spoil(said)
    await expect(settle(stores.c.fetch(ref, [a, b]))).rejects.toThrow(codeOf('E_HASH'))
    world.tamper = (_from, _to, said) => said
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(3 * piece))
  })
})

describe('[65] bad requests and answers', () => {
  const wanted = (ref: ChunkRef, change: object) => ({
    request: 7,
    id: ref.id,
    hash: ref.hash,
    index: 0,
    ...change,
  })
  const codes = (act: () => void): string => {
    try {
      act()
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  test.each([
    ['without knowing the hash', { hash: new Uint8Array(32) }, 'E_CHUNK_REF'],
    ['for a piece behind the end', { index: 2 }, 'E_CHUNK_REF'],
    ['for a piece far outside', { index: 2 ** 40 }, 'E_CHUNK_REF'],
    ['for a chunk that is not here', { id: chunkId(a, 1, 999) }, 'none'],
  ])('a request %s is answered with nothing', async (_name, change, code) => {
    const { clock, world, stores, put } = await threePeers()
    const ref = await put(chunkBytes(2 * piece))
    expect(codes(() => stores.a.onWanted(c, wanted(ref, change)))).toBe(code)
    await clock.settle()
    expect(world.said.map((one) => one.said)).toEqual([{ type: 'piece', request: 7, bytes: null }])
    expect(stores.a.stats.movedOutBytes).toBe(0)
  })

  test('who asks for more than it takes is refused (E_LIMIT), and costs a few pieces at most', async () => {
    const { world, stores, put } = await threePeers()
    const ref = await put(chunkBytes(2 * piece))
    world.tamper = (_from, _to, said) => said
    const all = Array.from({ length: 1000 }, () => codes(() => stores.a.onWanted(c, wanted(ref, {}))))
    expect(new Set(all)).toEqual(new Set(['none', 'E_LIMIT']))
    expect(all.filter((code) => code === 'none')).toHaveLength(
      limits.chunkPiecesQueuedMax + limits.chunkPiecesAhead,
    )
  })

  test('a piece that nobody asked for: E_CHUNK_REF', async () => {
    const { stores } = await threePeers()
    expect(codes(() => stores.c.onAnswer(a, 1, new Uint8Array(10)))).toBe('E_CHUNK_REF')
  })

  test('a piece from another peer than the one that was asked: E_CHUNK_REF; the fetch goes on', async () => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(1000))
    const fetching = stores.c.fetch(ref, [a])
    expect(codes(() => stores.c.onAnswer(b, 1, new Uint8Array(1000)))).toBe('E_CHUNK_REF')
    expectSameBytes(await settle(fetching), chunkBytes(1000))
    expect(world.refusals).toEqual([])
  })

  test.each([
    ['more', 1001],
    ['fewer', 999],
  ])('%s bytes than were asked for: E_CHUNK; another holder is asked', async (_name, length) => {
    const { world, stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(1000))
    world.tamper = (from, _to, said) =>
      from === 'a' && said.type === 'piece' ? { ...said, bytes: new Uint8Array(length) } : said
    expectSameBytes(await settle(stores.c.fetch(ref, [a, b])), chunkBytes(1000))
    expect(world.refusals).toEqual(['c refused a: E_CHUNK'])
  })

  test('two references with one id and other bytes: E_CHUNK_REF while the first is fetched', async () => {
    const { stores, put, settle } = await threePeers()
    const ref = await put(chunkBytes(3 * piece))
    const fetching = stores.c.fetch(ref, [a])
    const other = { ...ref, hash: ref.hash.map((byte) => byte ^ 1) }
    await expect(stores.c.fetch(other, [a])).rejects.toThrow(codeOf('E_CHUNK_REF'))
    await settle(fetching)
  })

  test('an empty chunk whose hash is not the one of no bytes: E_CHUNK_REF', async () => {
    const { stores, put } = await threePeers()
    const ref = await put(new Uint8Array(0))
    const other = { ...ref, hash: ref.hash.map((byte) => byte ^ 1) }
    await expect(stores.c.fetch(other, [a])).rejects.toThrow(codeOf('E_CHUNK_REF'))
  })
})

test('[CH2] hold() brings a chunk here that is larger than memory, piece by piece to the disk', async () => {
  const { clock, world, put, settle } = await threePeers()
  const pieces = new Map<number, Uint8Array>()
  const openDisk = async () => ({
    write: async (_key: number, index: number, bytes: Uint8Array) => void pieces.set(index, bytes.slice()),
    read: async (_key: number, index: number) => pieces.get(index) as Uint8Array,
    drop: async () => pieces.clear(),
    close: async () => {},
  })
  const small: MeshChunkStore = world.join('d', { clock, memoryBytesMax: 2 * piece, openDisk })
  const ref = await put(chunkBytes(9 * piece + 1))
  await settle(small.hold(ref, [a]))
  expect(pieces.size).toBe(10)
  expect(small.stats).toMatchObject({ memoryBytes: 0, diskBytes: 9 * piece + 1 })
  expectSameBytes(await settle(small.fetch(ref, [])), chunkBytes(9 * piece + 1))
  small.drop(ref.id)
  await clock.settle()
  expect(pieces.size).toBe(0)
})
