import { runWorld, type SimMode } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'

const pinned: readonly (readonly [SimMode, number])[] = [
  ['liveness', 1],
  ['liveness', 44],
  ['liveness', 509],
  ['liveness', 699],
  ['safety', 49],
  ['safety', 1001],
]

test.each(pinned)('[SIM] %s seed %i replays exactly', (mode, seed) => {
  const lines: string[] = []
  const again: string[] = []

  const first = runWorld({ seed, mode, log: (line) => lines.push(line) })
  const second = runWorld({ seed, mode, log: (line) => again.push(line) })
  const quiet = runWorld({ seed, mode })

  expect(again).toEqual(lines)
  expect(second).toEqual(first)
  expect(quiet.hash).toBe(first.hash)
})

test('[SIM] seeds give different worlds', () => {
  const hashes = new Set(Array.from({ length: 50 }, (_, seed) => runWorld({ seed, mode: 'safety' }).hash))
  expect(hashes.size).toBe(50)
})

test('[SIM] the log has one aligned line for each event, and says what its signs mean', () => {
  const lines: string[] = []
  runWorld({ seed: 3, mode: 'safety', log: (line) => lines.push(line) })

  const [legend, ...events] = lines
  expect(legend).toMatch(/^legend: ! fault, /)
  expect(events.length).toBeGreaterThan(50)
  for (const line of events) expect(line).toMatch(/^ *\d+\.\d{3} (p\d+ +| {3,4})\S /)
})
