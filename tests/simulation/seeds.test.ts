import { runWorld, type SimMode } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'

/** Worlds that once found a bug: what was wrong, and where it shows. */
const regressions: readonly (readonly [what: string, mode: SimMode, seed: number])[] = [
  ['equal processors stole a task from each other for ever, within one step', 'safety', 3],
  ['a task that kills its processor ran for ever where there was one processor only', 'liveness', 9],
  ['two owners at one epoch gave their children the same numbers', 'liveness', 187],
  ['the jobs of a restarted submitter were nobody’s', 'liveness', 40],
  ['whoever asked after the end was not told of a correction', 'liveness', 44],
  ['a successor committed a task again whose outcome stood behind its specification', 'safety', 49],
  ['results went to an owner that the documents had replaced', 'liveness', 829],
  ['a restarted submitter kept its own outcome over its earlier start’s', 'liveness', 10214],
  ['a successor that heard of a throw twice counted it twice', 'safety', 20494],
  ['a successor ended a job before it had heard of all its tasks', 'liveness', 41809],
  ['a lost profile left a peer without work', 'liveness', 699],
  ['a result that a peer alone had held back was never looked at again', 'liveness', 638],
  ['tasks in front kept a lost one from the processor that was kept free for it', 'liveness', 299],
]

test.each(regressions)('[SIM] %s (%s, seed %i)', (_what, mode, seed) => {
  expect(runWorld({ seed, mode }).violations).toEqual([])
})
