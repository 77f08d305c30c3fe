import { runServiceWorld, type ServiceWorldKind } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { plantedServiceBugs } from './planted-services.ts'
import { createYjsReplica } from './yjs-replica.ts'

/* SEED=17 runs one world of services and prints its log; SEEDS=10000 looks further than the usual run. */
const only = process.env['SEED']
const seeds = Number(process.env['SEEDS'] ?? 200)
const parts = 5
const kinds: readonly ServiceWorldKind[] = ['chaos', 'gentle']

test.each(only === undefined ? [] : kinds)(`[SV] seed ${only} breaks no rule: %s`, (kind) => {
  const report = runServiceWorld({
    seed: Number(only),
    kind,
    log: (line) => process.stdout.write(`${line}\n`),
  })
  expect(report.violations).toEqual([])
})

/** Many short tests rather than a long one, so that a busy machine meets no time limit. */
test.each(
  only !== undefined
    ? []
    : kinds.flatMap((kind) =>
        Array.from({ length: parts }, (_, part): [ServiceWorldKind, number] => [kind, part]),
      ),
)('[SV] services in %s rooms: answers come from one serial order, part %i', (kind, part) => {
  const perPart = Math.ceil(seeds / parts / 2)
  const found: string[] = []
  let answered = 0
  let moves = 0
  for (let seed = part * perPart + 1; seed <= (part + 1) * perPart; seed++) {
    const report = runServiceWorld({ seed, kind })
    answered += report.stats.answered
    moves += report.stats.moves
    if (report.violations.length > 0) found.push(`SEED=${seed} (${kind}): ${report.violations.join('\n  ')}`)
  }
  expect(found).toEqual([])
  expect(answered).toBeGreaterThan(perPart * 50)
  expect(moves).toBeGreaterThan(perPart)
})

test.each(kinds)('[SV] services in %s rooms on Yjs documents: answers come from one serial order', (kind) => {
  const found: string[] = []
  let answered = 0
  for (let seed = 1; seed <= 15; seed++) {
    const { stats, violations } = runServiceWorld({ seed, kind, createReplica: createYjsReplica })
    answered += stats.answered
    if (violations.length > 0) found.push(`SEED=${seed} (${kind}): ${violations.join('\n  ')}`)
  }
  expect(found).toEqual([])
  expect(answered).toBeGreaterThan(750)
})

test.each(plantedServiceBugs)(
  '[SV] the planted bug "$name" is found within 500 seeds',
  ({ kind, mutate, rule = /^\[[a-z-]+\] / }) => {
    let found: string | undefined
    for (let seed = 1; seed <= 500 && found === undefined; seed++) {
      found = runServiceWorld({ seed, kind, mutate }).violations[0]
    }
    expect(found).toMatch(rule)
  },
)

/** Worlds that once found a bug: what was wrong, and where it shows. */
const regressions: readonly (readonly [what: string, kind: ServiceWorldKind, seed: number])[] = [
  ['a follower was named that lacked calls whose replies had left', 'gentle', 31],
  ['a worker that died over the journal took an answered call with it', 'chaos', 588],
  ['a lone host that others took for lost went on without telling them', 'chaos', 698],
  ['a host went on after its voters had ended the service', 'chaos', 918],
  ['replies waited for a state behind a long queue', 'gentle', 803],
  ['replies waited for a state behind a long queue', 'gentle', 1311],
]

test.each(regressions)('[SV] %s (%s, seed %i)', (_what, kind, seed) => {
  expect(runServiceWorld({ seed, kind }).violations).toEqual([])
})

test.each(kinds)('[SV] a %s world replays exactly', (kind) => {
  for (const replica of [{}, { createReplica: createYjsReplica }]) {
    const run = () => runServiceWorld({ seed: 7, kind, ...replica })
    expect(run()).toEqual(run())
  }
})
