import { expect, test } from 'vitest'
import { createTally } from './tally.ts'

function peer(id: string, more: object = {}) {
  return {
    id,
    name: `name of ${id}`,
    role: 'member' as const,
    isSelf: false,
    isSuspected: false,
    epoch: 1,
    processors: [
      { id: `${id}/worker/0`, kind: 'worker' },
      { id: `${id}/worker/1`, kind: 'worker' },
    ],
    rttMs: 1,
    tasksDone: 0,
    ...more,
  }
}

test('rows() counts tiles, and speeds over the last five seconds only', () => {
  let now = 0
  const tally = createTally(() => now)
  for (let index = 0; index < 10; index += 1) tally.add('a', true)
  expect(tally.rows([peer('a')])).toMatchObject([{ done: 10, perSecond: 2, processors: '2 workers' }])
  now = 6_000
  expect(tally.rows([peer('a')])).toMatchObject([{ done: 10, perSecond: 0 }])
})

test('add() of old tiles counts them, and says nothing of speed', () => {
  const tally = createTally(() => 0)
  tally.add('a', false)
  expect(tally.rows([peer('a')])).toMatchObject([{ done: 1, perSecond: 0 }])
})

test('rows() keeps peers that drew something and left, with name and colour', () => {
  const tally = createTally(() => 0)
  tally.add('a', true)
  const [before] = tally.rows([peer('a'), peer('b')])
  const rows = tally.rows([peer('b')])
  expect(rows.map((row) => [row.id, row.state])).toEqual([
    ['b', 'here'],
    ['a', 'left'],
  ])
  expect(rows[1]).toMatchObject({ name: 'name of a', colour: before?.colour, processors: 'nothing' })
})

test('colours differ while there are enough of them, whatever the ids', () => {
  const tally = createTally(() => 0)
  const peers = Array.from({ length: 12 }, (_, index) => peer(`peer-${index}`))
  expect(new Set(tally.rows(peers).map((row) => row.colour)).size).toBe(12)
})

test('rows() names a GPU', () => {
  const processors = [
    { id: 'a/webgpu/0', kind: 'webgpu' },
    { id: 'a/worker/0', kind: 'worker' },
  ]
  expect(createTally(() => 0).rows([peer('a', { processors })])).toMatchObject([
    { processors: '1 GPU, 1 worker' },
  ])
})

test('rows() says when a peer does not answer', () => {
  const tally = createTally(() => 0)
  expect(tally.rows([peer('a', { isSuspected: true, processors: [] })])).toMatchObject([
    { state: 'silent', processors: 'nothing' },
  ])
})
