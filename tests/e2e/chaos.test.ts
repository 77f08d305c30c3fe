import { expect, test } from 'vitest'
import { runChaos } from '../chaos/run.ts'

// The short version of `npm run chaos`: real pages, processes, links and faults, and a checker of what all told.

test('[RC1] a room that is broken again and again loses nothing and takes nothing back', async () => {
  const lines: string[] = []
  const { verdict, troubles, faults, special } = await runChaos({
    seed: 4,
    durationMs: 25_000,
    everyMs: 3_000,
    tasks: 200,
    nodes: 3,
    pages: 2,
    log: (line) => lines.push(line),
  })
  const story = lines.join('\n')
  expect(troubles, story).toEqual([])
  expect(verdict.lost, story).toEqual([])
  expect(verdict.wrong, story).toEqual([])
  expect(verdict.changed, story).toEqual([])
  expect(faults, story).toBeGreaterThan(4)
  expect(verdict.tasks, story).toBeGreaterThan(150)
  // Each fault may hit what runs at the time, and a short run has few tasks to share that among.
  expect(verdict.executions, story).toBeLessThan(verdict.tasks + faults * 5)
  expect(special, story).not.toContainEqual({ kind: 'hang', code: 'none' })
})
