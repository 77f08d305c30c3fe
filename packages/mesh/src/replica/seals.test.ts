import type { Clock, JobId, PeerId, ReplicatedRecord, Rng } from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import {
  createReplicaRoom,
  type ReplicaMember,
  type ReplicaRoom,
} from '@shoal/scheduler/testing/contract/replica-room'
import { afterEach, describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { createTestSigning } from '../membership/signing.testing.ts'
import type { Refusal } from '../room.types.ts'
import { createReplica, memoryReplicaStorage, type ReplicaExtras, type ReplicaStorage } from './index.ts'
import { decodeReplicaMessage, encodeReplicaMessage, type ReplicaMessage } from './protocol.ts'
import { isSeal, type ReplicaSigning } from './seals.ts'

type YjsReplica = ReturnType<typeof createReplica> & ReplicaExtras
type Member = ReplicaMember<YjsReplica>
type Piece = Extract<ReplicaMessage, { readonly type: 'update' | 'state' }>

const rooms: ReplicaRoom<YjsReplica>[] = []
let refusals: Refusal[] = []
let evicted: [PeerId, PeerId][] = []
afterEach(() => {
  for (const room of rooms.splice(0)) room.close()
  refusals = []
  evicted = []
})

function open(storage?: ReplicaStorage, limits = {}): ReplicaRoom<YjsReplica> {
  const room = createReplicaRoom(1, (seat) =>
    createReplica({
      ...seat,
      limits,
      signing: createTestSigning(seat.self),
      onRefused: (refusal) => void refusals.push(refusal),
      onEquivocation: (peer) => void evicted.push([seat.self, peer]),
      ...(storage === undefined ? {} : { storage }),
    }),
  )
  rooms.push(room)
  return room
}

function jobOf(member: { readonly id: PeerId }, job: string, count: number): ReplicatedRecord[] {
  return [
    { type: 'job', by: member.id, job: job as JobId, name: job },
    { type: 'claim', by: member.id, job: job as JobId, epoch: 1 },
    specs(job, 0, count),
    outcomes(job, member.id, 1, 0, count),
  ]
}

const stillClock: Clock = { now: () => 0, setTimer: () => () => {}, defer: (callback) => callback() }
const stillRng: Rng = { next: () => 0.5 }

/** What a member would say to others if it wrote these records: for peers that say other things to others. */
function said(
  self: PeerId,
  clientId: number,
  writes: readonly (readonly ReplicatedRecord[])[],
  signing: ReplicaSigning = createTestSigning(self),
): Piece[] {
  const pieces: Piece[] = []
  const replica = createReplica({
    self,
    clientId,
    signing,
    clock: stillClock,
    rng: stillRng,
    network: {
      members: () => ['somebody' as PeerId],
      send: (_to, bytes) => {
        const message = decodeReplicaMessage(bytes)
        if (message.type === 'update') pieces.push(message)
      },
      onMessage: () => () => {},
      onMember: () => () => {},
    },
    operations: { add: () => {}, get: () => null, fetch: () => Promise.reject(new Error('never')) },
  })
  for (const records of writes) {
    replica.write(records)
    replica.flush()
  }
  replica.close()
  return pieces
}

function say(
  room: ReplicaRoom<YjsReplica>,
  from: PeerId,
  to: Member,
  pieces: readonly Piece[],
  type: Piece['type'],
): void {
  for (const piece of pieces) room.inject(from, to, encodeReplicaMessage({ ...piece, type }))
}

/** Rewrites the entries of an update, under the same client ids and clocks. */
function changed(update: Uint8Array, change: (bytes: Uint8Array, clock: number) => Uint8Array): Uint8Array {
  const { structs } = Y.decodeUpdate(update)
  for (const item of structs as Y.Item[]) {
    const content = item.content as Y.ContentBinary
    content.content = change(content.content, item.id.clock)
  }
  const encoder = new Y.UpdateEncoderV1()
  const [first] = structs as Y.Item[]
  const header = Uint8Array.of(
    1,
    ...varUint(structs.length),
    ...varUint(first?.id.client ?? 0),
    ...varUint(first?.id.clock ?? 0),
  )
  for (const item of structs as Y.Item[]) item.write(encoder, 0)
  return Uint8Array.of(...header, ...encoder.toUint8Array(), 0)
}

function varUint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varUint(Math.floor(value / 128))]
}

const gone = 'gone' as PeerId
const client = 4_000_000_001

describe('[RP8] relayed entries need the signature of their writer', () => {
  /** Each row: what a member makes of what an absent one had said. */
  const rows: readonly [string, (lane: Piece, job: Piece) => readonly Piece[]][] = [
    [
      'an entry of a lane that was changed',
      (lane) => [
        { ...lane, update: changed(lane.update, (bytes, clock) => (clock === 1 ? bumped(bytes) : bytes)) },
      ],
    ],
    [
      'an entry of a job document that was changed',
      (lane, job) => [
        lane,
        { ...job, update: changed(job.update, (bytes, clock) => (clock === 2 ? bumped(bytes) : bytes)) },
      ],
    ],
    [
      'a signature that was changed',
      (lane, job) => [
        lane,
        { ...job, update: changed(job.update, (bytes) => (isSeal(bytes) ? flipped(bytes, 40) : bytes)) },
      ],
    ],
    [
      'a lane signed by the one who relays it',
      () => said(gone, client, [jobOf({ id: gone }, 'j1', 3)], createTestSigning('b' as PeerId)),
    ],
    [
      'a lane signed in another room',
      () => said(gone, client, [jobOf({ id: gone }, 'j1', 3)], createTestSigning(gone, 'another room')),
    ],
    ['a job document under the name of another', (lane, job) => [lane, { ...job, name: 'job:j2' }]],
    [
      'a lane with a deletion of its own',
      (lane) => {
        const update = Uint8Array.of(...lane.update.slice(0, -1), 1, ...varUint(client), 1, 0, 1)
        return [{ ...lane, update }]
      },
    ],
  ]

  test.each(rows)('[40] %s: E_SIGNATURE, nothing changes, and the good one is taken', (_name, make) => {
    const room = open()
    const [b, c] = [room.join('b'), room.join('c')]
    room.run(2000)
    const [lane, job] = said(gone, client, [jobOf({ id: gone }, 'j1', 3)]) as [Piece, Piece]
    const bad = make(lane, job)
    say(room, b.id, c, bad, 'state')
    expect(refusals.map(({ code, from }) => [code, from])).toContainEqual(['E_SIGNATURE', b.id])
    expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(['E_SIGNATURE']))
    expect(c.told.filter(({ type }) => type === 'outcomes')).toEqual([])
    say(room, b.id, c, [lane, job], 'state')
    expect(c.told.map(({ type }) => type)).toEqual(['job', 'claim', 'specs', 'outcomes'])
    expect(evicted).toEqual([])
  })

  test('entries that no seal follows are refused from their writer, too', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    room.run(2000)
    const doc = new Y.Doc()
    doc.clientID = client
    doc.getArray('jobs').push([Uint8Array.of(0x93, 1, 0xa2, 0x6a, 0x78, 1)])
    say(room, a.id, b, [{ type: 'update', name: 'lane:a', update: Y.encodeStateAsUpdate(doc) }], 'update')
    expect(refusals).toMatchObject([{ code: 'E_SIGNATURE', from: a.id }])
    a.replica.write(jobOf(a, 'j1', 2))
    room.run(2000)
    expect(b.told).toHaveLength(4)
  })

  test('a document in many pieces is checked piece by piece, over the starts of its writer', () => {
    const room = open(undefined, { pieceBytes: 300, batchRows: 5 })
    const [a, b] = [room.join('a'), room.join('b')]
    a.replica.write(jobOf(a, 'j1', 2))
    room.run(2000)
    for (let no = 2; no < 40; no++) {
      a.replica.write([specs('j1', no, 1), outcomes('j1', a.id, 1, no, 1)])
      room.run(20)
    }
    room.leave(a)
    room.run(100)
    const again = room.join('a')
    room.run(2000)
    again.replica.write([
      { type: 'claim', by: a.id, job: 'j1' as JobId, epoch: 2 },
      outcomes('j1', a.id, 2, 0, 9),
    ])
    room.run(2000)
    room.leave(again)
    b.replica.write([
      { type: 'claim', by: b.id, job: 'j1' as JobId, epoch: 3 },
      outcomes('j1', b.id, 3, 9, 9),
    ])
    let pieces = 0
    room.onSent((_from, to) => {
      if (to === 'c') pieces++
    })
    const c = room.join('c')
    room.run(60_000)
    expect(c.replica.contentHashes()).toEqual(b.replica.contentHashes())
    expect(pieces).toBeGreaterThan(10)
    expect(refusals).toEqual([])
  })
})

describe('[RP10] a writer of two histories is shown up', () => {
  const outcomesOf = (count: number) => [
    jobOf({ id: 'w' as PeerId }, 'j1', 3),
    [outcomes('j1', 'w' as PeerId, 1, 0, count)],
  ]

  test('[38] by two entries with one clock that it says itself: E_EQUIVOCATION, and it is evicted', () => {
    const room = open()
    const [w, b] = [room.join('w'), room.join('b')]
    room.run(2000)
    say(room, w.id, b, said(w.id, client, outcomesOf(1)), 'update')
    const hashes = b.replica.contentHashes()
    say(room, w.id, b, said(w.id, client, outcomesOf(2)).slice(-1), 'update')
    expect(refusals.map(({ code, from }) => [code, from])).toEqual([['E_EQUIVOCATION', w.id]])
    expect(evicted).toEqual([[b.id, w.id]])
    expect(b.replica.contentHashes()).toEqual(hashes)
  })

  test.each([
    ['while it is there: job documents', true],
    ['when it has left: lanes, too', false],
  ])('by two members that compare what they were told %s', (_name, isThere) => {
    const room = open()
    const [w, b, c] = [room.join('w'), room.join('b'), room.join('c')]
    room.run(2000)
    say(room, w.id, b, said(w.id, client, outcomesOf(1)), 'update')
    say(room, w.id, c, said(w.id, client, outcomesOf(2)), 'update')
    expect(refusals).toEqual([])
    if (!isThere) room.leave(w)
    room.run(200_000)
    expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(['E_EQUIVOCATION']))
    expect(evicted.map(([by, peer]) => [by, peer])).toEqual(
      expect.arrayContaining([
        [b.id, w.id],
        [c.id, w.id],
      ]),
    )
  })

  test('also when the histories have grown to different lengths', () => {
    const room = open()
    const [w, b, c] = [room.join('w'), room.join('b'), room.join('c')]
    room.run(2000)
    const more = [outcomes('j1', w.id, 1, 2, 1)]
    say(room, w.id, b, said(w.id, client, outcomesOf(1)), 'update')
    say(room, w.id, c, said(w.id, client, [...outcomesOf(2), more, more]), 'update')
    room.leave(w)
    room.run(200_000)
    expect(evicted).toContainEqual([b.id, w.id])
    expect(refusals.map(({ code }) => code)).toContain('E_EQUIVOCATION')
  })

  test('a member that forges what an absent one said blames nobody but itself', () => {
    const room = open()
    const [b, c] = [room.join('b'), room.join('c')]
    room.run(2000)
    const [lane, job] = said(gone, client, [jobOf({ id: gone }, 'j1', 3)]) as [Piece, Piece]
    say(room, b.id, c, [lane, job], 'state')
    const update = changed(job.update, (bytes, clock) => (clock === 2 ? bumped(bytes) : bytes))
    say(room, b.id, c, [{ ...job, update }], 'state')
    expect(refusals.map(({ code, from }) => [code, from])).toEqual([['E_SIGNATURE', b.id]])
    expect(evicted).toEqual([])
  })
})

test('a replica that starts again from its storage can pass on what it has', async () => {
  const storage = memoryReplicaStorage()
  const room = open(storage)
  const a = room.join('a')
  a.replica.write(jobOf(a, 'j1', 5))
  room.run(2000)
  a.replica.close()
  const second = open(storage)
  const b = second.join('b')
  await b.replica.ready
  const c = second.join('c')
  second.run(20_000)
  expect(c.replica.contentHashes()).toEqual(b.replica.contentHashes())
  expect(c.told.length).toBeGreaterThan(0)
  expect(refusals).toEqual([])
})

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ 1
  return copy
}

/** The last byte, one higher: an epoch or a number. */
function bumped(bytes: Uint8Array): Uint8Array {
  return flipped(bytes, bytes.length - 1)
}
