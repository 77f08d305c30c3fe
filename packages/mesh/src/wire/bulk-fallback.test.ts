import { expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { createTestClock } from '../membership/testing.ts'
import { packBody } from './body.ts'
import { chunkBytes, createBudget, createIntake } from './chunks.ts'
import { emptyBody } from './control.ts'
import { frameTypes } from './frames.ts'
import { bodyOf, chunkOf, createEnds, type Ends } from './testing.ts'

const type = frameTypes.replica

function sizesOf(ends: Ends): readonly number[] {
  return ends.right.got.map((body) => body.length)
}

function isQuiet({ left, right }: Ends): boolean {
  return !left.bulk.isBusyWith(type) && !right.bulk.isBusyWith(type)
}

test('[MB4] no bulk link ever: 5 MiB arrive over the control link, and heartbeats pass', async () => {
  const clock = createTestClock()
  const bytesPerMs = 500
  const ends = createEnds(clock, { canDial: () => false, controlBytesPerMs: bytesPerMs })
  const { left, right, chunks } = ends
  const body = bodyOf(5 * 1_048_576)
  left.bulk.send(type, body)
  const delays: number[] = []
  while (right.got.length === 0) {
    const sentAt = clock.now()
    const beats = right.heartbeats.length
    left.control.send(frameTypes.heartbeat, packBody([sentAt]))
    await clock.until(() => right.heartbeats.length > beats)
    delays.push((right.heartbeats.at(-1) as number) - sentAt)
    left.bulk.tick()
    await clock.advance(250)
  }
  expect(Buffer.compare(right.got[0] as Uint8Array, body)).toBe(0)
  expect(delays.length).toBeGreaterThan(5)
  const aheadBytesMax = limits.controlChunksBufferedBytesMax + 2 * limits.chunkFrameBytes
  expect(Math.max(...delays)).toBeLessThan(aheadBytesMax / bytesPerMs + 50)
  expect([chunks.bulk, left.codes, right.codes]).toEqual([0, [], []])
  await clock.until(() => isQuiet(ends))
})

test('bodies go both ways over the control link, and none is given up however long it takes', async () => {
  const clock = createTestClock()
  const ends = createEnds(clock, { canDial: () => false })
  for (let n = 0; n < 40; n++) {
    ends.left.bulk.send(type, bodyOf(100_000 + n))
    ends.right.bulk.send(type, bodyOf(200_000 + n))
    await clock.advance(1_000)
  }
  await clock.until(() => isQuiet(ends))
  expect(sizesOf(ends)).toEqual(Array.from({ length: 40 }, (_, n) => 100_000 + n))
  expect(ends.left.got.map((body) => body.length)).toEqual(Array.from({ length: 40 }, (_, n) => 200_000 + n))
})

test('while signalling is away nothing waits for the dial', async () => {
  const clock = createTestClock()
  const ends = createEnds(clock, { isOnline: () => false, canDial: () => false })
  ends.left.bulk.send(type, bodyOf(100_000))
  expect(await clock.until(() => ends.right.got.length === 1)).toBeLessThan(100)
})

test('a dial works again: the next bodies go over bulk, behind those that are under way', async () => {
  const clock = createTestClock()
  let canDial = false
  const ends = createEnds(clock, { canDial: () => canDial, controlBytesPerMs: 500 })
  const { left, right, chunks, links } = ends
  const sizes = Array.from({ length: 12 }, (_, n) => 600_000 + n)
  for (const size of sizes) left.bulk.send(type, bodyOf(size))
  await clock.until(() => right.got.length === 2)
  expect([chunks.bulk, links.length]).toEqual([0, 0])
  canDial = true
  await clock.until(() => right.got.length === sizes.length, 60_000)
  expect(sizesOf(ends)).toEqual(sizes)
  expect(links).toHaveLength(1)
  expect(chunks.bulk).toBeGreaterThan(0)
  await clock.until(() => isQuiet(ends))
  const before = chunks.control
  left.bulk.send(type, bodyOf(1_000_000))
  await clock.until(() => right.got.length === sizes.length + 1)
  expect(chunks.control).toBe(before)
})

test('links that break in the middle while dials come and go: each body once, in order', async () => {
  const clock = createTestClock()
  let canDial = true
  const ends: Ends = createEnds(clock, {
    canDial: () => canDial,
    onGot(count) {
      if (count % 4 === 1) ends.links.at(-1)?.close()
    },
  })
  const sizes = Array.from({ length: 24 }, (_, n) => 700_000 + n)
  for (const [n, size] of sizes.entries()) {
    canDial = n % 12 < 7
    ends.left.bulk.send(type, bodyOf(size))
    if (n % 2 === 1) await clock.advance(1_200)
  }
  await clock.until(() => ends.right.got.length >= sizes.length && isQuiet(ends), 60_000)
  await clock.advance(12_000)
  expect(sizesOf(ends)).toEqual(sizes)
  expect(ends.links.length).toBeGreaterThan(1)
  expect(ends.chunks.control).toBeGreaterThan(0)
  expect(ends.right.codes).toEqual([])
})

test('a bulk link that breaks for good under a half body: it starts again over control', async () => {
  const clock = createTestClock()
  let canDial = true
  const ends = createEnds(clock, { canDial: () => canDial, controlBytesPerMs: 1000 })
  const { left, right, links, chunks } = ends
  left.bulk.send(type, bodyOf(3_000_000))
  left.bulk.send(type, bodyOf(60_000))
  await clock.until(() => chunks.bulk > 4)
  canDial = false
  links[0]?.close()
  await clock.until(() => right.got.length === 2 && isQuiet(ends))
  expect(sizesOf(ends)).toEqual([3_000_000, 60_000])
  expect([left.codes, right.codes]).toEqual([[], []])
})

test('a receiver without memory: chunks on the control link wait, its other frames do not', async () => {
  const clock = createTestClock()
  const budget = createBudget(1_500_000)
  budget.take(1_000_000)
  const ends = createEnds(clock, { budget, canDial: () => false })
  const { left, right } = ends
  left.bulk.send(type, bodyOf(1_400_000))
  left.bulk.send(type, bodyOf(60_000))
  await clock.advance(2_000)
  left.control.send(frameTypes.heartbeat, emptyBody)
  await clock.advance(100)
  expect(right.heartbeats).toHaveLength(1)
  right.bulk.send(type, bodyOf(1_200_000))
  await clock.until(() => left.got.length === 1 && !right.bulk.isBusyWith(type))
  expect([right.got.length, budget.usedBytes, ends.chunks.control < 45]).toEqual([0, 1_000_000, true])
  budget.free(1_000_000)
  await clock.until(() => right.got.length === 2 && isQuiet(ends))
  expect(sizesOf(ends)).toEqual([1_400_000, 60_000])
  expect([budget.usedBytes, right.codes]).toEqual([0, []])
})

test('who sends without credit while memory is short is cut off: E_LIMIT', async () => {
  const clock = createTestClock()
  const budget = createBudget(1_500_000)
  budget.take(1_000_000)
  const { left, right } = createEnds(clock, { budget })
  let isClosed = false
  left.control.onClose(() => {
    isClosed = true
  })
  const whole = bodyOf(6_000_000)
  for (let from = 0; from < whole.length; from += chunkBytes) {
    left.control.send(frameTypes.chunk, chunkOf(1, type, whole, from))
  }
  await clock.advance(1_000)
  expect(right.codes).toEqual(['E_LIMIT'])
  expect(isClosed).toBe(true)
})

test('a body that came whole over one link ends its half on another, and its sender hears of it', () => {
  const clock = createTestClock()
  const budget = createBudget()
  const taken = { lastTransfer: 0 }
  const first = createIntake({ clock, budget, taken })
  const second = createIntake({ clock, budget, taken })
  const whole = bodyOf(2 * chunkBytes)
  const chunk = (no: number, index: number) => chunkOf(no, type, whole, index * chunkBytes)
  first.take(chunk(1, 0))
  second.take(chunk(1, 0))
  second.take(chunk(1, 1))
  expect(first.take(chunk(1, 1))).toBeNull()
  expect(budget.usedBytes).toBe(0)
  expect(first.creditDue()).toBe(whole.length)
  first.take(chunk(2, 0))
  expect(first.take(chunk(2, 1))?.body.length).toBe(whole.length)
})
