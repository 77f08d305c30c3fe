import { runDeaths } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { blamesBystanders } from './planted.ts'

/* SEEDS=1000 looks further than the usual run. */
const seeds = Number(process.env['SEEDS'] ?? 15)

test('[TS6] where peers die all the time, no ordinary task is taken to be the cause', () => {
  const bad = Array.from({ length: seeds }, (_, index) =>
    runDeaths({ seed: index + 1, kind: 'busy' }),
  ).filter(({ violations, failed }) => violations.length + failed.length > 0)
  expect(bad).toEqual([])
})

test('[TS6] a task that kills every peer that runs it, owners too, is quarantined after six deaths at most', () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const { violations, failed, deaths } = runDeaths({ seed, kind: 'poison' })
    expect(violations).toEqual([])
    expect(failed, `seed ${seed}`).toEqual(['j/7 E_TASK_POISON'])
    expect(deaths).toBeLessThanOrEqual(6)
  }
})

test('[TS6] the planted bug "every death counts against whoever was there" is found within 10 seeds', () => {
  let failed: readonly string[] = []
  for (let seed = 1; seed <= 10 && failed.length === 0; seed++) {
    failed = runDeaths({ seed, kind: 'busy', mutate: blamesBystanders }).failed
  }
  expect(failed[0]).toMatch(/E_TASK_POISON$/)
})
