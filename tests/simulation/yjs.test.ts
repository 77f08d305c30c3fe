import { runWorld, type SimMode } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { createYjsReplica } from './yjs-replica.ts'

const perPart = 10

test.each(
  (['liveness', 'safety'] as const).flatMap((mode) =>
    [0, 1, 2].map((part): [SimMode, number] => [mode, part]),
  ),
)('[SIM] %s on Yjs documents: no rule is broken, part %i', (mode, part) => {
  const found: string[] = []
  for (let seed = part * perPart + 1; seed <= (part + 1) * perPart; seed++) {
    const report = runWorld({ seed, mode, createReplica: createYjsReplica })
    if (report.violations.length > 0) found.push(`SEED=${seed} (${mode}): ${report.violations.join('\n  ')}`)
  }
  expect(found).toEqual([])
})

test.each([1, 44, 509])('[SIM] seed %i on Yjs documents replays exactly', (seed) => {
  const run = () => runWorld({ seed, mode: 'liveness', createReplica: createYjsReplica })
  expect(run()).toEqual(run())
})
