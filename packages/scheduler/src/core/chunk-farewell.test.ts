import { expect, test } from 'vitest'
import { ChunkPayload, chunkId } from '../model/chunk.ts'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import type { ChunkWish } from '../model/message.ts'
import { defaultTaskOptions, noNeeds, type TaskSpec } from '../model/task.ts'
import { defaultConfig } from './config.ts'
import type { Effect } from './effects.ts'
import type { Event } from './events.ts'
import { createState } from './state.ts'
import { step } from './step.ts'

const [a, b, c] = ['a', 'b', 'c'] as [PeerId, PeerId, PeerId]

type Untimed = { [K in Event['type']]: Omit<Extract<Event, { type: K }>, 'at'> }[Event['type']]

function chunk(home: PeerId, n: number, sizeBytes = 100): ChunkPayload {
  const ref = { id: chunkId(home, 1, n), sizeBytes, hash: new Uint8Array(32).fill(n), home }
  return new ChunkPayload(ref, null, [home])
}

/** A scheduler that sees two other members. */
function peer(self: PeerId) {
  const state = createState({ self, epoch: 1, role: 'member', name: self, isReplicated: true })
  const feed = (event: Untimed): Effect[] => [...step(state, { ...event, at: 0 } as Event)]
  for (const other of [a, b, c])
    if (other !== self) feed({ type: 'peer-joined', peer: other, epoch: 1, role: 'member' })
  return {
    state,
    feed,
    put(payload: ChunkPayload) {
      feed({ type: 'chunk-stored', chunk: payload.ref.id, isHeld: true })
      feed({ type: 'chunk-opened', chunk: payload })
    },
    hears: (from: PeerId, payload: ChunkPayload, wish: ChunkWish) =>
      feed({ type: 'message-received', from, message: { type: 'want', chunk: payload, wish } }),
    taken: (from: PeerId, { ref }: ChunkPayload) =>
      feed({
        type: 'message-received',
        from,
        message: { type: 'located', chunk: ref.id, wish: 'take', holders: [from], error: null },
      }),
  }
}

/** What was offered, as `chunk>peer`. */
function offersIn(effects: readonly Effect[]): string[] {
  return effects.flatMap((effect) => {
    if (effect.type !== 'send' || effect.message.type !== 'want' || effect.message.wish !== 'take') return []
    return [`${effect.message.chunk.ref.id}>${effect.to}`]
  })
}

test('[CH14] a peer that leaves offers what others have handles to, small ones first, within its limit', () => {
  const { feed, put, hears, taken } = peer(a)
  const [large, small, unused, middle] = [
    chunk(a, 1, defaultConfig.farewellBytesMax),
    chunk(a, 2, 10),
    chunk(a, 3, 5),
    chunk(a, 4, 20),
  ] as const
  for (const one of [large, small, unused, middle]) put(one)
  for (const one of [large, small, middle]) hears(b, one, 'keep')
  hears(c, small, 'keep')
  const told = feed({ type: 'chunks-leaving' })
  expect(offersIn(told)).toEqual([`${small.ref.id}>b`, `${small.ref.id}>c`, `${middle.ref.id}>b`])
  const isOver = (effects: readonly Effect[]) => effects.some(({ type }) => type === 'chunks-left')
  expect(isOver(told)).toBe(false)
  expect(isOver(taken(b, small))).toBe(false)
  expect(isOver(taken(b, middle))).toBe(false)
  expect(isOver(taken(c, small))).toBe(true)
})

test('[CH14] a peer with nothing to hand on leaves at once', () => {
  const { feed, put } = peer(a)
  put(chunk(a, 1))
  expect(feed({ type: 'chunks-leaving' })).toEqual([{ type: 'chunks-left' }])
})

test('[CH14] who needs a chunk takes it from its tracker only, says so, and tracks it from then on', () => {
  const { state, feed, hears } = peer(b)
  const wanted = chunk(a, 1)
  const fetched = (effects: readonly Effect[]) => effects.some(({ type }) => type === 'fetch-chunk')
  feed({ type: 'chunk-opened', chunk: wanted })
  expect(fetched(hears(c, wanted, 'take'))).toBe(false)
  expect(fetched(hears(a, wanted, 'take'))).toBe(true)
  const told = feed({ type: 'chunk-stored', chunk: wanted.ref.id, isHeld: true })
  const answer = { type: 'located', chunk: wanted.ref.id, wish: 'take', holders: [b], error: null }
  expect(told).toContainEqual({ type: 'send', to: a, message: answer })
  feed({ type: 'peer-left', peer: a, cause: 'left' })
  const located = feed({ type: 'chunk-asked', chunk: wanted, isAgain: true })
  expect(located).toContainEqual({ type: 'chunk-located', chunk: wanted.ref.id, holders: [b], error: null })
  feed({ type: 'chunk-released', chunk: wanted.ref.id })
  expect(state.chunks.size).toBe(0)
})

const job = 'job' as JobId

function taskWith(args: ChunkPayload): TaskSpec {
  const options = defaultTaskOptions
  return { no: 0, operation: 'hash#default' as OperationHash, args, needs: noNeeds, options, parent: null }
}

function fetchedIn(effects: readonly Effect[]): string[] {
  return effects.flatMap((effect) => (effect.type === 'fetch-chunk' ? [effect.chunk.ref.id] : []))
}

test('[CH14] an offer that comes before the task that needs it waits for that, or for the end of who made it', () => {
  const wanted = chunk(a, 1)
  const early = peer(b)
  expect(early.hears(a, wanted, 'take')).toEqual([])
  const known = early.feed({ type: 'tasks-submitted', job, name: 'job', specs: [taskWith(wanted)] })
  expect(fetchedIn(known)).toEqual([wanted.ref.id])
  const late = peer(b)
  late.hears(a, wanted, 'take')
  late.feed({ type: 'peer-left', peer: a, cause: 'left' })
  expect(late.state.earlyOffers.size).toBe(0)
  expect(
    fetchedIn(late.feed({ type: 'tasks-submitted', job, name: 'job', specs: [taskWith(wanted)] })),
  ).toEqual([])
})

test('[CH14] who lets go of its last handle meanwhile is not waited for', () => {
  const { feed, put, hears } = peer(a)
  const offered = chunk(a, 1)
  put(offered)
  hears(b, offered, 'keep')
  expect(offersIn(feed({ type: 'chunks-leaving' }))).toEqual([`${offered.ref.id}>b`])
  expect(hears(b, offered, 'release').some(({ type }) => type === 'chunks-left')).toBe(true)
})
