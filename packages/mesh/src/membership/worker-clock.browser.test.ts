import { expect, test } from 'vitest'
import { createWorkerClock } from './worker-clock.ts'

test('createWorkerClock() calls back in order, never early, and not when cancelled', async () => {
  const clock = createWorkerClock()
  const start = clock.now()
  const fired: number[] = []
  const early: number[] = []
  await new Promise<void>((resolve) => {
    for (const ms of [60, 0, 30, 120]) {
      clock.setTimer(start + ms, () => {
        fired.push(ms)
        if (clock.now() < start + ms) early.push(ms)
        if (ms === 120) resolve()
      })
    }
    const cancel = clock.setTimer(start + 40, () => fired.push(-1))
    cancel()
    cancel()
  })
  expect(fired).toEqual([0, 30, 60, 120])
  expect(early).toEqual([])
})

test('createWorkerClock() goes on while the page’s own timers are slowed down', async () => {
  const slow = globalThis.setTimeout
  // What a hidden tab does to them: they hardly ever fire.
  Object.assign(globalThis, { setTimeout: () => 0 })
  try {
    const clock = createWorkerClock()
    let ticks = 0
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        if (++ticks === 5) resolve()
        else clock.setTimer(clock.now() + 10, tick)
      }
      clock.setTimer(clock.now() + 10, tick)
    })
    expect(ticks).toBe(5)
  } finally {
    Object.assign(globalThis, { setTimeout: slow })
  }
})
