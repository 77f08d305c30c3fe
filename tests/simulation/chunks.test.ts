import { type ChunkWorldKind, runChunkWorld } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'
import { plantedChunkBugs } from './planted-chunks.ts'
import { createYjsReplica } from './yjs-replica.ts'

/* SEED=17 runs one world of each kind and prints its log; SEEDS=10000 looks further than the usual run. */
const only = process.env['SEED']
const seeds = Number(process.env['SEEDS'] ?? 240)
const rules: Readonly<Record<ChunkWorldKind, string>> = {
  calm: '[CH9] [PL1] nothing is made or moved twice, bytes go where that costs least, and nothing is left behind',
  leaves: '[CH10] what goes with a peer that leaves is made again, once, and nobody waits for ever',
  deaths:
    '[CH10] [CH15] what a live holder has is never made again, what is lost once for each loss, inputs first',
  chaos: '[CH8] [CH10] [CL4] values are those of a run without faults, and everybody who waits is told',
}
const kinds = Object.keys(rules) as ChunkWorldKind[]

test.each(only === undefined ? [] : kinds)(`[CH] seed ${only} breaks no rule: %s`, async (kind) => {
  const log = (line: string): boolean => process.stdout.write(`${line}\n`)
  expect((await runChunkWorld({ seed: Number(only), kind, log })).violations).toEqual([])
})

test.each(only === undefined ? kinds.map((kind): [string, ChunkWorldKind] => [rules[kind], kind]) : [])(
  '%s (%s rooms)',
  async (_rule, kind) => {
    const found: string[] = []
    const sums = { chunks: 0, remakes: 0, moves: 0, gets: 0 }
    const count = Math.ceil(seeds / kinds.length)
    for (let seed = 1; seed <= count; seed++) {
      const { stats, violations } = await runChunkWorld({ seed, kind })
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += stats[key]
      if (violations.length > 0) found.push(`SEED=${seed} (${kind}): ${violations.join('\n  ')}`)
    }
    expect(found).toEqual([])
    expect(sums.chunks).toBeGreaterThan(5 * count)
    expect(sums.moves).toBeGreaterThan(count)
    expect(sums.gets).toBeGreaterThan(count)
    if (kind === 'deaths' || kind === 'chaos') expect(sums.remakes).toBeGreaterThan(count / 5)
  },
)

test('[CH] rooms with chunks keep their rules on Yjs documents, too', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const { violations } = await runChunkWorld({ seed, kind: 'deaths', createReplica: createYjsReplica })
    expect(violations, `seed ${seed}`).toEqual([])
  }
})

test.each(plantedChunkBugs)(
  '[CH] the planted bug "$name" is found within 500 seeds',
  async ({ kind, mutate }) => {
    let found: string | undefined
    for (let seed = 1; seed <= 500 && found === undefined; seed++) {
      found = (await runChunkWorld({ seed, kind, mutate })).violations[0]
    }
    expect(found).toMatch(/^\[[a-z-]+\] /)
  },
)

/** Worlds that once found a bug: what was wrong, and where it shows. */
const regressions: readonly (readonly [what: string, kind: ChunkWorldKind, seed: number])[] = [
  ['[CH15] a holder whose copy was damaged was believed for ever', 'deaths', 8],
  ['[CH15] a later start of a peer was taken to hold what the earlier one had', 'deaths', 31],
  ['[CH16] a result of an ended job without an owner was asked for in vain', 'leaves', 49],
  ['[CH16] an owner that was asked before it had claimed never answered', 'leaves', 25],
  ['[CH8] a tracker that had changed kept a handle that was let go', 'deaths', 84],
  ['[CH16] a later start of the owner said that it knew nothing, and was believed', 'deaths', 113],
  ['[CH15] a copy that was kept for a dead owner was not known to the next one', 'deaths', 192],
  ['[CH16] holders that this peer had not met yet were no answer, and no other was asked for', 'chaos', 153],
  ['[CH9] what a task that was taken back had asked for was kept in vain', 'calm', 196],
]

test.each(regressions)('%s (%s, seed %i)', async (_what, kind, seed) => {
  expect((await runChunkWorld({ seed, kind })).violations).toEqual([])
})

test('[CH] a world with chunks replays exactly', async () => {
  for (const kind of kinds) {
    expect(await runChunkWorld({ seed: 7, kind })).toEqual(await runChunkWorld({ seed: 7, kind }))
  }
})
