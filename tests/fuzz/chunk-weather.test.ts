import { type ChunkRef, chunkId, type PeerId, type ShoalError } from '@shoal/scheduler'
import { chunkBytes, expectSameBytes } from '@shoal/scheduler/testing/contract/chunk-store'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createStoreWorld, type Said } from '../../packages/mesh/src/chunks/testing.ts'
import { limits } from '../../packages/mesh/src/limits.ts'
import { createTestClock } from '../../packages/mesh/src/membership/testing.ts'
import { seed } from './known.ts'

const a = 'a' as PeerId
const b = 'b' as PeerId
const piece = limits.chunkPieceBytes
const codes = new Set(['E_CHUNK_LOST', 'E_HASH', 'E_CHUNK_REF'])

/** What befalls one message, or the way that it takes. */
const fate = fc.record({
  act: fc.oneof(
    { weight: 12, arbitrary: fc.constant('pass' as const) },
    fc.constantFrom('swallow', 'lose', 'nothing', 'spoil', 'cut', 'drop', 'late'),
  ),
  delayMs: fc.integer({ min: 0, max: 300 }),
})
type Fate = typeof fate extends fc.Arbitrary<infer F> ? F : never

/** Two peers have the chunks, a third one fetches them through the weather. */
async function stormyWorld(fates: readonly Fate[]) {
  const clock = createTestClock()
  const world = createStoreWorld(clock)
  const [first, second, third] = [world.join('a'), world.join('b'), world.join('c')]
  const put = async (no: number, sizeBytes: number): Promise<ChunkRef> => {
    const ref = await first.put(chunkId(a, 1, no), chunkBytes(sizeBytes, no))
    await second.put(ref.id, chunkBytes(sizeBytes, no))
    return ref
  }
  let at = 0
  let isStormy = true
  const next = (): Fate => fates[at++ % fates.length] as Fate
  let delayMs = 0
  world.delayMs = () => delayMs
  const cut = (peer: string): void => {
    world.setReach(peer, 'c', 'away')
    clock.setTimer(clock.now() + 700, () => world.setReach(peer, 'c', 'linked'))
  }
  const befall = (from: string, to: string, said: Said): Said | null => {
    const { act, delayMs: ms } = next()
    delayMs = ms
    if (act === 'swallow') return null
    if (act === 'cut') cut(from === 'c' ? to : from)
    if (act === 'late') delayMs = 20_000
    if (said.type === 'wanted') {
      if (act === 'drop') (to === 'a' ? first : second).drop(said.wanted.id)
      return said
    }
    if (act === 'lose') {
      clock.defer(() => third.onLost(from as PeerId, said.request))
      return null
    }
    if (act === 'nothing') return { ...said, bytes: null }
    if (act !== 'spoil' || said.bytes === null) return said
    return { ...said, bytes: said.bytes.map((byte) => byte ^ 1) }
  }
  world.tamper = (from, to, said) => {
    delayMs = 0
    return isStormy ? befall(from, to, said) : said
  }
  /** Every link that was cut is whole again, too. */
  const calm = async (): Promise<void> => {
    isStormy = false
    await clock.advance(1_000)
  }
  return { clock, store: third, put, calm }
}

/** Nothing that is asked for comes: as many pieces as are asked for ahead. */
const silence: [Fate[], number[]] = [[{ act: 'swallow', delayMs: 0 }], [20 * piece]]

test('[CH4] a fetch ends in any weather: with the bytes or a typed error; then the next one is as quick as ever', async () => {
  const run = fc.asyncProperty(
    fc.array(fate, { minLength: 1, maxLength: 60 }),
    fc.array(fc.integer({ min: 1, max: 6 * piece }), { minLength: 1, maxLength: 3 }),
    async (fates, sizes) => {
      const { clock, store, put, calm } = await stormyWorld(fates)
      const refs: ChunkRef[] = []
      for (const [no, sizeBytes] of sizes.entries()) refs.push(await put(no, sizeBytes))
      let open = refs.length
      const ends = refs.map((ref) =>
        store
          .fetch(ref, [a, b])
          .catch((error: unknown) => error)
          .finally(() => open--),
      )
      await clock.until(() => open === 0, 200_000)
      for (const [no, end] of (await Promise.all(ends)).entries()) {
        if (end instanceof Uint8Array) expectSameBytes(end, chunkBytes(sizes[no] as number, no))
        else expect(codes.has((end as ShoalError).code), String(end)).toBe(true)
      }
      await calm()
      const last = await put(99, 20 * piece)
      const startedAt = clock.now()
      const done = store.fetch(last, [a])
      let isDone = false
      void done.then(() => {
        isDone = true
      })
      await clock.until(() => isDone, 5_000)
      expectSameBytes(await done, chunkBytes(20 * piece, 99))
      expect(clock.now() - startedAt).toBeLessThanOrEqual(5_000)
    },
  )
  await fc.assert(run, { numRuns: Number(process.env['RUNS'] ?? 15), seed, examples: [silence] })
}, 60_000)

test('[CH4] an answer that is lost on its way is asked for again', async () => {
  const { clock, store, put } = await stormyWorld([{ act: 'lose', delayMs: 0 }, ...passes(40)])
  const ref = await put(1, 5 * piece)
  const startedAt = clock.now()
  let isDone = false
  const done = store.fetch(ref, [a]).finally(() => {
    isDone = true
  })
  await clock.until(() => isDone, 5_000)
  expectSameBytes(await done, chunkBytes(5 * piece, 1))
  expect(clock.now() - startedAt).toBeLessThan(1_000)
})

function passes(count: number): Fate[] {
  return Array.from({ length: count }, () => ({ act: 'pass', delayMs: 0 }))
}
