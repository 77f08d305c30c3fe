import { expect, test } from 'vitest'
import { createGate, createLoop, createPeerClock } from './clock.ts'

const fail = (error: unknown): never => {
  throw error
}

test('[SIM] events run by time, then in the order in which they were scheduled', () => {
  const loop = createLoop(fail)
  const seen: string[] = []
  loop.at(20, null, () => seen.push('late'))
  loop.at(10, null, () => seen.push('first'))
  loop.at(10, null, () => seen.push('second'))
  loop.at(15, null, () => seen.push('cancelled'))()

  while (loop.runNext());

  expect(seen).toEqual(['first', 'second', 'late'])
  expect(loop.now()).toBe(20)
})

test('[SIM] what is deferred runs at the end of the turn, before the next event', () => {
  const loop = createLoop(fail)
  const gate = createGate(0)
  const seen: string[] = []
  loop.at(1, gate, () => {
    loop.defer(gate, () => seen.push('deferred'))
    seen.push('turn')
  })
  loop.at(1, gate, () => seen.push('next turn'))

  while (loop.runNext());

  expect(seen).toEqual(['turn', 'deferred', 'next turn'])
})

test('[SIM] a paused gate runs nothing, and everything at once on return', () => {
  const loop = createLoop(fail)
  const gate = createGate(0)
  const seen: string[] = []
  loop.at(1, null, () => {
    gate.state = 'paused'
  })
  for (const atMs of [2, 3]) loop.at(atMs, gate, () => seen.push(`due ${atMs}, run ${loop.now()}`))
  loop.at(10, null, () => loop.resume(gate))

  while (loop.runNext());

  expect(seen).toEqual(['due 2, run 10', 'due 3, run 10'])
})

test('[SIM] a dead gate runs nothing any more', () => {
  const loop = createLoop(fail)
  const gate = createGate(0)
  loop.at(1, null, () => {
    gate.state = 'dead'
  })
  loop.at(2, gate, () => fail(new Error('it runs')))

  while (loop.runNext());

  expect(loop.now()).toBe(2)
})

test.each([1, 1 + 1 / 1024, 1 - 1 / 1024])('[SIM] a peer clock of rate %d never rings early', (rate) => {
  const loop = createLoop(fail)
  const gate = createGate(0)
  const clock = createPeerClock(loop, gate, 123_456.7, rate)
  const wanted = clock.now() + 0.1
  let rangAt = 0
  clock.setTimer(wanted, () => {
    rangAt = clock.now()
  })
  clock.setTimer(wanted, () => fail(new Error('it was cancelled')))()
  expect(gate.timers).toBe(1)

  while (loop.runNext());

  expect(rangAt).toBeGreaterThanOrEqual(wanted)
  expect(rangAt).toBeLessThan(wanted + 0.1)
  expect(gate.timers).toBe(0)
})

test('[SIM] an event that throws is told, and the loop goes on', () => {
  const errors: unknown[] = []
  const loop = createLoop((error) => errors.push(error))
  let hasRun = false
  loop.at(1, null, () => fail(new Error('broken')))
  loop.at(2, null, () => {
    hasRun = true
  })

  while (loop.runNext());

  expect(errors).toHaveLength(1)
  expect(hasRun).toBe(true)
})
