import { runWorld } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { plantedBugs } from './planted.ts'

const seedsMax = 500

test.each(plantedBugs)('[SIM] the planted bug "$name" is found within 500 seeds', ({ mode, mutate }) => {
  let found: string | undefined
  for (let seed = 1; seed <= seedsMax && found === undefined; seed++) {
    found = runWorld({ seed, mode, mutate }).violations[0]
  }
  expect(found).toMatch(/^\[[a-z-]+\] /)
})
