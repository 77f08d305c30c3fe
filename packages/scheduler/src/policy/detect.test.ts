import { expect, test } from 'vitest'
import type { PeerId } from '../model/ids.ts'
import {
  createDetector,
  type DetectorAction,
  type DetectorState,
  forgetPeer,
  hearPeer,
  hintGone,
  linkLost,
  probeAnswered,
  tickDetector,
  tickEveryMs,
  watchPeer,
} from './detect.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'] as unknown as readonly [PeerId, PeerId, PeerId, PeerId]

function watching(...peers: readonly PeerId[]): DetectorState {
  const state = createDetector(0)
  for (const peer of peers) watchPeer(state, peer, 0)
  return state
}

/** Ticks on time until `until`, with signs of life from `alive`; gives what was not a heartbeat, with its time. */
function run(
  state: DetectorState,
  until: number,
  alive: readonly PeerId[],
): readonly (readonly [number, DetectorAction])[] {
  const found: (readonly [number, DetectorAction])[] = []
  while (state.tickedAt + tickEveryMs(state) <= until) {
    const at = state.tickedAt + tickEveryMs(state)
    for (const peer of alive) hearPeer(state, peer, at)
    for (const action of tickDetector(state, at)) {
      if (action.type === 'dead') forgetPeer(state, action.peer)
      if (action.type !== 'beat') found.push([at, action])
    }
  }
  return found
}

test('[MB1] tickDetector() beats every 500 ms', () => {
  const state = watching(a)
  let beats = 0
  for (let at = 250; at <= 10_000; at += 250) {
    hearPeer(state, a, at)
    beats += tickDetector(state, at).filter((action) => action.type === 'beat').length
  }
  expect(beats).toBe(20)
})

test('[MB1] silence: suspected at 1.5 s with two others asked, dead at 3 s', () => {
  const state = watching(a, b, c, d)
  expect(run(state, 10_000, [b, c, d])).toEqual([
    [1_500, { type: 'suspect', peer: a }],
    [1_500, { type: 'ask', peer: a, helpers: [b, c] }],
    [3_000, { type: 'dead', peer: a }],
  ])
})

test('[MB1] any sign of life ends a suspicion', () => {
  const state = watching(a, b)
  run(state, 2_000, [b])
  expect(hearPeer(state, a, 2_100)).toEqual([{ type: 'trust', peer: a }])
  expect(hearPeer(state, a, 2_200)).toEqual([])
  expect(run(state, 3_500, [b])).toEqual([])
})

test('[MB1] a suspect has twice the time while a helper, asked again each second, reaches it', () => {
  const state = watching(a, b)
  run(state, 1_500, [b])
  for (const askAt of [2_500, 3_500, 4_500, 5_500]) {
    probeAnswered(state, a, b, true)
    expect(run(state, askAt, [b])).toEqual([[askAt, { type: 'ask', peer: a, helpers: [b] }]])
  }
  expect(run(state, 10_000, [b])).toEqual([[6_000, { type: 'dead', peer: a }]])
})

test('[MB1] a vouch ends when all who are asked again deny it, or nobody is left to ask', () => {
  for (const isHelperLost of [false, true]) {
    const state = watching(a, b)
    run(state, 1_500, [b])
    probeAnswered(state, a, b, true)
    if (isHelperLost) forgetPeer(state, b)
    run(state, 2_500, [b])
    probeAnswered(state, a, b, false)
    expect(run(state, 10_000, [b])).toEqual([[3_000, { type: 'dead', peer: a }]])
  }
})

test('a lost link is suspicion at once, and death a second later when all who were asked agree', () => {
  const state = watching(a, b, c)
  expect(linkLost(state, a, 100, false)).toEqual([
    { type: 'suspect', peer: a },
    { type: 'ask', peer: a, helpers: [b, c] },
  ])
  expect(linkLost(state, a, 150, false)).toEqual([])
  for (const helper of [b, b, d]) probeAnswered(state, a, helper, false)
  expect(run(state, 1_500, [b, c])).toEqual([])
  probeAnswered(state, a, c, false)
  expect(run(state, 2_000, [b, c])).toEqual([[1_750, { type: 'dead', peer: a }]])
})

test('who hung up and does not call again is dead after a second, also when there is nobody to ask', () => {
  const state = watching(a)
  linkLost(state, a, 0, true)
  expect(run(state, 2_000, [])).toEqual([[1_000, { type: 'dead', peer: a }]])
  const unsure = watching(a)
  linkLost(unsure, a, 0, false)
  expect(run(unsure, 4_000, [])).toEqual([[3_000, { type: 'dead', peer: a }]])
})

test('a lost link that comes back in time is trust', () => {
  const state = watching(a, b)
  linkLost(state, a, 0, false)
  expect(hearPeer(state, a, 10)).toEqual([])
  expect(watchPeer(state, a, 20)).toEqual([{ type: 'trust', peer: a }])
  expect(run(state, 1_000, [a, b])).toEqual([])
})

test('helpers that say no to mere silence do not speed death up', () => {
  const state = watching(a, b)
  run(state, 1_500, [b])
  probeAnswered(state, a, b, false)
  expect(run(state, 4_000, [b])).toEqual([[3_000, { type: 'dead', peer: a }]])
})

test('[MB2] a timer that is late makes the detector patient, up to four times', () => {
  const state = watching(a)
  tickDetector(state, 1_900)
  expect(state.patience).toBe(4)
  expect(tickDetector(state, 2_150).filter((action) => action.type === 'suspect')).toEqual([])
  const calm = watching(a)
  run(calm, 1_250, [])
  expect(tickDetector(calm, 1_500)).toContainEqual({ type: 'suspect', peer: a })
})

test('a timer gap above 2 s is our own pause: nobody is accused for it', () => {
  const state = watching(a, b)
  expect(tickDetector(state, 5_000)).toEqual([{ type: 'paused', gapMs: 5_000 }, { type: 'beat' }])
  expect(run(state, 6_000, [])).toEqual([])
  expect(run(state, 8_000, []).map(([at, action]) => [at, action.type])).toEqual([
    [6_500, 'suspect'],
    [6_500, 'ask'],
    [6_500, 'suspect'],
    [8_000, 'dead'],
    [8_000, 'dead'],
  ])
})

test('times are options', () => {
  const state = createDetector(0, { heartbeatMs: 200, suspectMs: 400, deadMs: 600 })
  watchPeer(state, a, 0)
  expect(run(state, 1_000, []).map(([at, action]) => [at, action.type])).toEqual([
    [400, 'suspect'],
    [600, 'dead'],
  ])
})

test('[MB3] a hint is suspicion at once, and death after 1.5 s of silence when others do not reach it either', () => {
  const state = watching(a, b, c)
  run(state, 1_000, [a, b, c])
  expect(hintGone(state, a)).toEqual([
    { type: 'suspect', peer: a },
    { type: 'ask', peer: a, helpers: [b, c] },
  ])
  probeAnswered(state, a, b, false)
  probeAnswered(state, a, c, false)
  expect(run(state, 10_000, [b, c])).toEqual([[2_500, { type: 'dead', peer: a }]])
})

test.each([
  ['it speaks again', [a, b, c], false],
  ['somebody reaches it', [b, c], true],
])('[MB3] a hint alone kills nobody: %s', (_, alive, isReached) => {
  const state = watching(a, b, c)
  hintGone(state, a)
  probeAnswered(state, a, b, isReached)
  probeAnswered(state, a, c, false)
  const deaths = run(state, 2_900, alive).filter(([, { type }]) => type === 'dead')
  expect(deaths).toEqual([])
})

test('[MB1] helpers who reached a peer are asked again, for they may have heard its last words', () => {
  const state = watching(a, b, c)
  run(state, 1_000, [a, b, c])
  hintGone(state, a)
  probeAnswered(state, a, b, true)
  probeAnswered(state, a, c, false)
  expect(run(state, 2_250, [b, c])).toEqual([[2_000, { type: 'ask', peer: a, helpers: [b, c] }]])
  probeAnswered(state, a, b, false)
  probeAnswered(state, a, c, false)
  expect(run(state, 10_000, [b, c])).toEqual([[2_500, { type: 'dead', peer: a }]])
})
