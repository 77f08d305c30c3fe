import type { Link } from '@shoal/scheduler'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../packages/mesh/src/limits.ts'
import { createTestClock, type TestClock } from '../../packages/mesh/src/membership/testing.ts'
import { frameTypes } from '../../packages/mesh/src/wire/frames.ts'
import { bodyOf, createEnds, type Ends } from '../../packages/mesh/src/wire/testing.ts'
import { seed } from './known.ts'

/** What becomes of one bulk link, after how many of its messages. */
const fate = fc.record({
  act: fc.constantFrom('close', 'die', 'half die', 'dead for them', 'live'),
  after: fc.integer({ min: 0, max: 60 }),
})
type Fate = typeof fate extends fc.Arbitrary<infer F> ? F : never

/**
 * A link that breaks: it closes, or stays open and carries nothing any more, in both directions or one; or it
 * closes, and the other side does not hear of it.
 */
function breaking(link: Link, { act, after }: Fate, isNear: boolean): Link {
  let left = after
  let isDead = false
  const send = (message: Uint8Array): void => {
    if (left-- === 0) {
      if (act === 'close') link.close()
      isDead = act === 'die' || (act === 'half die' && isNear)
    }
    if (!isDead) link.send(message)
  }
  const onClose = (listener: Parameters<Link['onClose']>[0]) =>
    link.onClose((reason) =>
      act === 'dead for them' && reason !== 'closed-here' ? undefined : listener(reason),
    )
  return Object.create(link, { send: { value: send }, onClose: { value: onClose } }) as Link
}

function ticking(clock: TestClock, { left, right }: Ends): void {
  const tick = (): void => {
    left.bulk.tick()
    right.bulk.tick()
    clock.setTimer(clock.now() + 500, tick)
  }
  tick()
}

/** Both links close while they are given a chunk, so that a body goes on elsewhere in the middle of a send. */
const closing: [Fate[], number[], boolean[]] = [
  [
    { act: 'close', after: 1 },
    { act: 'close', after: 0 },
  ],
  [131_035],
  [true],
]

test('[WP6] bodies arrive once and in order whatever happens to bulk links, while the control link lives', async () => {
  const run = fc.asyncProperty(
    fc.array(fate, { minLength: 1, maxLength: 6 }),
    fc.array(fc.integer({ min: 60_000, max: 1_500_000 }), { minLength: 1, maxLength: 6 }),
    fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
    async (fates, sizes, dials) => {
      const clock = createTestClock()
      let ends = 0
      let dialled = 0
      const world = createEnds(clock, {
        wrap: (link) => {
          const no = ends++
          const one = fates[no >> 1] ?? { act: 'live' as const, after: 0 }
          return breaking(link, one, no % 2 === 1)
        },
        canDial: () => dials[dialled++ % dials.length] === true || dialled > 8,
      })
      ticking(clock, world)
      const { left, right } = world
      const there = sizes.map((size, no) => size + no)
      const back = sizes.slice(0, 2).map((size, no) => size + 100 + no)
      for (const size of there) left.bulk.send(frameTypes.replica, bodyOf(size))
      for (const size of back) right.bulk.send(frameTypes.replica, bodyOf(size))
      const isOver = (): boolean =>
        right.got.length >= there.length &&
        left.got.length >= back.length &&
        !left.bulk.isBusyWith(frameTypes.replica) &&
        !right.bulk.isBusyWith(frameTypes.replica)
      await clock.until(isOver, 200_000)
      expect(right.got.map((body) => body.length)).toEqual(there)
      expect(left.got.map((body) => body.length)).toEqual(back)
      expect([...left.lost, ...right.lost]).toEqual([])
    },
  )
  await fc.assert(run, { numRuns: Number(process.env['RUNS'] ?? 30), seed, examples: [closing] })
}, 60_000)

test('[WP6] a bulk link that stays open and carries nothing is given up', async () => {
  const clock = createTestClock()
  let links = 0
  const world = createEnds(clock, {
    wrap: (link) => breaking(link, { act: links++ < 2 ? 'die' : 'live', after: 20 }, true),
  })
  ticking(clock, world)
  world.left.bulk.send(frameTypes.replica, bodyOf(3_000_000))
  const tookMs = await clock.until(() => world.right.got.length === 1, 60_000)
  expect(tookMs).toBeLessThan(limits.bulkStallMs + 3_000)
})
