import { describe, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { createTestClock } from '../membership/testing.ts'
import { createLinkPair } from '../transport/memory.ts'
import { packBody } from './body.ts'
import { createBulk } from './bulk.ts'
import { chunkBytes, createBudget, createIntake } from './chunks.ts'
import { readCredit } from './control.ts'
import { decodeFrame, encodeFrame, frameTypes } from './frames.ts'
import { createPipe } from './pipe.ts'
import { bodyOf, chunkOf, createEnds } from './testing.ts'

const ignore = (): void => {}
const type = frameTypes.replica

test('bodies arrive whole, once and in order, both ways over one link', async () => {
  const clock = createTestClock()
  const { left, right, links } = createEnds(clock)
  const sizes = [60_000, chunkBytes, chunkBytes + 1, 3_000_000, 1]
  for (const size of sizes) left.bulk.send(type, bodyOf(size))
  expect(left.bulk.isBusyWith(type)).toBe(true)
  await clock.until(() => right.got.length === sizes.length)
  expect(right.got.map((body) => body.length)).toEqual(sizes)
  expect(Buffer.compare(right.got[3] as Uint8Array, bodyOf(3_000_000))).toBe(0)
  right.bulk.send(type, bodyOf(500_000))
  await clock.until(() => left.got.length === 1 && !left.bulk.isBusyWith(type))
  expect(links).toHaveLength(1)
})

test('a sender stops at its window until the receiver takes bytes in', async () => {
  const clock = createTestClock()
  let sentBytes = 0
  const [near, far] = createLinkPair(clock, 'bulk', 'left', 'right', ignore)
  const [nearControl] = createLinkPair(clock, 'control', 'left', 'right', ignore)
  const closed = { bytesMax: 1024, framesPerS: 1, onFrame: ignore }
  const bulk = createBulk({
    clock,
    budget: createBudget(),
    control: createPipe({ link: nearControl, clock, reader: closed, onRefused: ignore }),
    isOnline: () => true,
    dial: async () => near,
    announce: ignore,
    random: (length) => new Uint8Array(length),
    deliver: ignore,
    onRefused: ignore,
    onLost: ignore,
    onMeasured: ignore,
    onLife: ignore,
  })
  far.onMessage((message) => {
    sentBytes += message.length
  })
  bulk.send(type, bodyOf(8_000_000))
  await clock.advance(3_000)
  const spare = 2 * limits.chunkFrameBytes
  expect(sentBytes).toBeGreaterThan(limits.bulkFirstWindowBytes / 2)
  expect(sentBytes).toBeLessThan(limits.bulkFirstWindowBytes + spare)
  far.send(encodeFrame(frameTypes.credit, 0, packBody([500_000, 0])))
  await clock.advance(1_000)
  // The receiver was heard: it has the link, and the whole window counts.
  expect(sentBytes).toBeGreaterThan(limits.bulkWindowBytes + 300_000)
  expect(sentBytes).toBeLessThan(limits.bulkWindowBytes + spare + 500_000)
})

test('a link that breaks in the middle is made again, and nothing is lost or doubled', async () => {
  const clock = createTestClock()
  const ends = createEnds(clock, {
    onGot: (count) => {
      if (count === 1) ends.links[0]?.close()
      if (count === 3) ends.links[1]?.close()
    },
  })
  const { left, right, links } = ends
  for (let n = 0; n < 6; n++) left.bulk.send(type, bodyOf(900_000 + n, n + 1))
  await clock.until(() => right.got.length >= 6)
  await clock.advance(2_000)
  expect(right.got.map((body) => body.length)).toEqual([0, 1, 2, 3, 4, 5].map((n) => 900_000 + n))
  expect(links).toHaveLength(3)
})

test('an idle link is closed after a while, and opened again when needed', async () => {
  const clock = createTestClock()
  const { left, right, links } = createEnds(clock)
  left.bulk.send(type, bodyOf(100_000))
  await clock.until(() => right.got.length === 1)
  let isClosed = false
  links[0]?.onClose(() => {
    isClosed = true
  })
  await clock.advance(limits.bulkIdleMs + 500)
  left.bulk.tick()
  await clock.settle()
  expect(isClosed).toBe(true)
  left.bulk.send(type, bodyOf(100_001))
  await clock.until(() => right.got.length === 2)
  expect(links).toHaveLength(2)
})

test('a receiver without memory gives no credit, and goes on when there is some', async () => {
  const clock = createTestClock()
  const budget = createBudget(1_500_000)
  budget.take(1_000_000)
  const { left, right } = createEnds(clock, { budget })
  left.bulk.send(type, bodyOf(1_200_000))
  left.bulk.send(type, bodyOf(1_200_001))
  await clock.advance(5_000)
  expect(right.got).toEqual([])
  expect(budget.usedBytes).toBe(1_000_000)
  budget.free(1_000_000)
  await clock.until(() => right.got.length === 2)
  expect(budget.usedBytes).toBe(0)
  expect(right.codes).toEqual([])
})

test('a bulk link with other fingerprints is refused: E_CHANNEL_BINDING; the control link carries the body', async () => {
  const clock = createTestClock()
  const { left, right, chunks } = createEnds(clock, { isBound: false })
  left.bulk.send(type, bodyOf(100_000))
  await clock.until(() => right.got.length === 1)
  expect(new Set(right.codes)).toEqual(new Set(['E_CHANNEL_BINDING']))
  expect(right.got[0]).toEqual(bodyOf(100_000))
  expect(chunks.control).toBe(2)
})

describe('a bulk link that does not prove itself', () => {
  test.each([
    ['says nothing', 'E_HELLO_TIMEOUT', null],
    [
      'shows a token that nobody gave',
      'E_HELLO_TIMEOUT',
      encodeFrame(frameTypes.bulkHello, 0, new Uint8Array(16)),
    ],
    ['sends a chunk', 'E_AUTH_REQUIRED', encodeFrame(frameTypes.chunk, 0, new Uint8Array(100))],
  ])('%s: %s', async (_name, code, message) => {
    const clock = createTestClock()
    const { right, doors } = createEnds(clock)
    const [near, far] = createLinkPair(clock, 'bulk', 'left', 'right', ignore)
    let isClosed = false
    near.onClose(() => {
      isClosed = true
    })
    doors.right.onLink(far)
    if (message !== null) near.send(message)
    await clock.advance(limits.helloTimeoutMs + 500)
    expect(right.codes).toEqual([code])
    expect(isClosed).toBe(true)
  })
})

describe('[20] createIntake() refuses bad chunks (E_CHUNK), frees their memory, and takes the next transfer', () => {
  const whole = bodyOf(3 * chunkBytes)
  const chunk = (transfer: number, index: number): Uint8Array =>
    chunkOf(transfer, type, whole, index * chunkBytes)
  const changed = (frame: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = frame.slice()
    copy[at] = value
    return copy
  }

  test.each([
    ['begins in the middle', 'E_CHUNK', [chunk(1, 1)]],
    ['skips an index', 'E_CHUNK', [chunk(1, 0), chunk(1, 2)]],
    ['repeats an index', 'E_CHUNK', [chunk(1, 0), chunk(1, 0)]],
    ['changes its total', 'E_CHUNK', [chunk(1, 0), changed(chunk(1, 1), 9, 9)]],
    ['changes its type', 'E_CHUNK', [chunk(1, 0), changed(chunk(1, 1), 12, frameTypes.messages)]],
    ['is of a type that is never large', 'E_CHUNK', [changed(chunk(1, 0), 12, frameTypes.goodbye)]],
    ['is cut', 'E_CHUNK', [chunk(1, 0).subarray(0, 1000)]],
    ['is a header only', 'E_CHUNK', [chunk(1, 0).subarray(0, 13)]],
    ['announces 4 GiB', 'E_TOO_LARGE', [changed(chunk(1, 0), 8, 255)]],
  ])('%s: %s', (_name, code, frames) => {
    const budget = createBudget()
    const intake = createIntake({ clock: createTestClock(), budget, taken: { lastTransfer: 0 } })
    const last = frames.at(-1) as Uint8Array
    for (const frame of frames.slice(0, -1)) expect(intake.take(frame)).toBeNull()
    expect(() => intake.take(last)).toThrow(expect.objectContaining({ code }))
    expect(budget.usedBytes).toBe(0)
    expect([intake.take(chunk(2, 0)), intake.take(chunk(2, 1))]).toEqual([null, null])
    expect(intake.take(chunk(2, 2))?.body.length).toBe(whole.length)
    expect(budget.usedBytes).toBe(0)
  })

  test('[19] a transfer that stops: E_CHUNK_TIMEOUT after 30 s, bytes freed', async () => {
    const clock = createTestClock()
    const budget = createBudget()
    const intake = createIntake({ clock, budget, taken: { lastTransfer: 0 } })
    intake.take(chunk(1, 0))
    expect(budget.usedBytes).toBe(whole.length)
    await clock.advance(limits.chunkTimeoutMs)
    expect(intake.dropLate(clock.now())).toBeNull()
    await clock.advance(100)
    expect(intake.dropLate(clock.now())?.error).toMatchObject({ code: 'E_CHUNK_TIMEOUT' })
    expect(budget.usedBytes).toBe(0)
    expect(intake.take(chunk(1, 1))).toBeNull()
  })

  test('what is over is told with the next credit', () => {
    const taken = { lastTransfer: 0 }
    const intake = createIntake({ clock: createTestClock(), budget: createBudget(), taken })
    for (const index of [0, 1, 2]) intake.take(chunk(1, index))
    expect(intake.creditDue()).toBe(whole.length)
    expect(taken.lastTransfer).toBe(1)
    expect(intake.creditDue()).toBeNull()
  })
})

test('credit frames can be read back', () => {
  const frame = encodeFrame(frameTypes.credit, 4, packBody([1_000_000, 7]))
  expect(readCredit(decodeFrame(frame, 1024).body)).toEqual({ takenBytes: 1_000_000, lastTransfer: 7 })
})
