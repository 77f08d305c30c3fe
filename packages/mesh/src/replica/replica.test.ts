import {
  isNewerClaim,
  type JobId,
  type OperationHash,
  type PeerId,
  type ReplicatedRecord,
  ShoalError,
  type TaskSpec,
} from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import {
  calm,
  createReplicaRoom,
  type ReplicaMember,
  type ReplicaRoom,
} from '@shoal/scheduler/testing/contract/replica-room'
import { afterEach, describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { sha256Hex } from '../membership/sha256.ts'
import type { Refusal } from '../room.types.ts'
import { packBody } from '../wire/body.ts'
import { createReplica, memoryReplicaStorage, type ReplicaExtras, type ReplicaLimits } from './index.ts'
import { encodeReplicaMessage, type ReplicaMessage } from './protocol.ts'
import type { ReplicaStorage } from './storage.ts'

type YjsReplica = ReturnType<typeof createReplica> & ReplicaExtras
type Member = ReplicaMember<YjsReplica>

const rooms: ReplicaRoom<YjsReplica>[] = []
const refusals: Refusal[] = []
afterEach(() => {
  for (const room of rooms.splice(0)) room.close()
  refusals.length = 0
})

function open(
  limits: Partial<ReplicaLimits> = {},
  storage?: ReplicaStorage,
  seed = 1,
): ReplicaRoom<YjsReplica> {
  const onRefused = (refusal: Refusal): void => void refusals.push(refusal)
  const room = createReplicaRoom(seed, (seat) =>
    createReplica({ ...seat, limits, onRefused, ...(storage === undefined ? {} : { storage }) }),
  )
  rooms.push(room)
  return room
}

function say(room: ReplicaRoom<YjsReplica>, from: PeerId, to: Member, message: ReplicaMessage): void {
  room.inject(from, to, encodeReplicaMessage(message))
}

function submit(member: Member, job: string, count: number): void {
  member.replica.write([
    { type: 'job', by: member.id, job: job as JobId, name: job },
    { type: 'claim', by: member.id, job: job as JobId, epoch: 1 },
    specs(job, 0, count),
    outcomes(job, member.id, 1, 0, count),
  ])
}

function claim(member: Member, job: string): void {
  member.replica.write([{ type: 'claim', by: member.id, job: job as JobId, epoch: 1 }])
}

/** A document written by nobody of the room; its updates in order. */
function forge(client: number, change: (doc: Y.Doc) => void): Uint8Array[] {
  const doc = new Y.Doc()
  doc.clientID = client
  const updates: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => void updates.push(update))
  change(doc)
  return updates
}

const claimBytes = new Uint8Array(packBody([1, 'jx', 1]))

function claims(client: number, count: number): Uint8Array[] {
  return forge(client, (doc) => {
    for (let i = 0; i < count; i++) doc.getArray('jobs').push([claimBytes])
  })
}

describe('bad updates', () => {
  const client = 77
  /** Each row: what a member `a` sends to `b`, and how `b` refuses it. */
  const rows: readonly [string, string, (a: Member, b: Member) => ReplicaMessage][] = [
    [
      '[33] an update that deletes everything in a job document',
      'E_CRDT_FOREIGN',
      (_, b) => ({
        type: 'update',
        name: 'job:j0',
        update: Uint8Array.of(0, 1, ...varUint(b.replica.clientId), 1, 0, 1),
      }),
    ],
    [
      '[36] a deletion in its own lane under the client id of another',
      'E_CRDT_FOREIGN',
      (a, b) => {
        const update = Uint8Array.of(0, 1, ...varUint(b.replica.clientId), 1, 0, 1)
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      '[34] a GC structure of length 2^31 - 1',
      'E_CRDT_UPDATE',
      (a) => {
        const update = Uint8Array.of(1, 1, ...varUint(client), 0, 0, ...varUint(2 ** 31 - 1), 0)
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      '[35] structures under the client id of another',
      'E_CRDT_FOREIGN',
      (a, b) => ({ type: 'update', name: `lane:${a.id}`, update: first(claims(b.replica.clientId, 1)) }),
    ],
    [
      'a job entry that names another peer as its writer',
      'E_CRDT_FOREIGN',
      (_, b) => {
        const [update] = forge(client, (doc) =>
          doc.getArray('writers').push([new TextEncoder().encode(b.id)]),
        )
        return { type: 'update', name: 'job:j9', update: update as Uint8Array }
      },
    ],
    [
      '[37] an update whose predecessor is withheld',
      'E_CRDT_GAP',
      (a) => ({ type: 'update', name: `lane:${a.id}`, update: claims(client, 2)[1] as Uint8Array }),
    ],
    [
      '[39] an update for the lane of an unknown peer',
      'E_CRDT_LANE',
      () => ({ type: 'update', name: 'lane:zzz', update: first(claims(client, 1)) }),
    ],
    [
      '[39] an update for a document of no kind',
      'E_CRDT_LANE',
      () => ({ type: 'update', name: 'root', update: first(claims(client, 1)) }),
    ],
    [
      '[41] a lane above its quota',
      'E_QUOTA',
      (a) => {
        const update = first(forge(client, (doc) => doc.getArray('jobs').push([new Uint8Array(200_000)])))
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      'an update that is too long to be read',
      'E_QUOTA',
      (a) => ({ type: 'update', name: `lane:${a.id}`, update: new Uint8Array(400_000) }),
    ],
    [
      '[42] a map where an array is expected',
      'E_CRDT_SHAPE',
      (a) => {
        const update = first(forge(client, (doc) => doc.getMap('jobs').set('jx', claimBytes)))
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      'an array that no lane has',
      'E_CRDT_SHAPE',
      (a) => ({
        type: 'update',
        name: `lane:${a.id}`,
        update: first(forge(client, (doc) => doc.getArray('other').push([claimBytes]))),
      }),
    ],
    [
      'values that are not bytes',
      'E_CRDT_SHAPE',
      (a) => ({
        type: 'update',
        name: `lane:${a.id}`,
        update: first(forge(client, (doc) => doc.getArray('jobs').push(['text']))),
      }),
    ],
    [
      'an entry in front of others',
      'E_CRDT_SHAPE',
      (a) => {
        const update = first(
          forge(client, (doc) => {
            doc.transact(() => {
              doc.getArray('jobs').push([claimBytes])
              doc.getArray('jobs').insert(0, [claimBytes])
            })
          }),
        )
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      'a truncated update',
      'E_CRDT_UPDATE',
      (a) => ({ type: 'update', name: `lane:${a.id}`, update: first(claims(client, 1)).slice(0, 9) }),
    ],
    [
      '[43] a state vector that claims 2^31 clients',
      'E_CRDT_UPDATE',
      () => ({
        type: 'digest',
        id: 1,
        from: '',
        to: '',
        isPartial: false,
        wantsDigest: false,
        entries: [{ name: 'job:j0', state: Uint8Array.from(varUint(2 ** 31)), deleted: 0, mark: 0 }],
      }),
    ],
    [
      'an operation whose source has another hash',
      'E_CODE_HASH',
      (a) => {
        const operation = [`${'0'.repeat(64)}#run`, 'run', 'export const run = 1', 'run']
        const update = first(
          forge(client, (doc) => {
            doc.transact(() => {
              doc.getArray('writers').push([new TextEncoder().encode(a.id)])
              doc.getArray('spec').push([new Uint8Array(packBody([2, [operation]]))])
            })
          }),
        )
        return { type: 'update', name: 'job:j9', update }
      },
    ],
    [
      '[44] a profile that speaks for another',
      'E_FORBIDDEN',
      (a, b) => {
        const profile = new Uint8Array(packBody(['a', [[`${b.id}/worker/0`, 'worker', true, 1]]]))
        const update = first(forge(client, (doc) => doc.getArray('profile').push([profile])))
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
    [
      'a batch that cannot be unpacked',
      'E_DECODE',
      (a) => ({
        type: 'update',
        name: `lane:${a.id}`,
        update: first(
          forge(client, (doc) => doc.getArray('jobs').push([Uint8Array.of(0xdd, 255, 255, 255, 255)])),
        ),
      }),
    ],
    [
      'a batch with a number that is none',
      'E_SCHEMA',
      (a) => {
        const bytes = new Uint8Array(packBody([1, 'jx', Number.NaN]))
        const update = first(forge(client, (doc) => doc.getArray('jobs').push([bytes])))
        return { type: 'update', name: `lane:${a.id}`, update }
      },
    ],
  ]

  test.each(rows)('%s is refused with %s, and the next good update works', (_name, code, make) => {
    const room = open({ laneBytes: 100_000, updateBytes: 300_000 })
    const [a, b] = [room.join('a'), room.join('b')]
    submit(b, 'j0', 4)
    claim(a, 'j9')
    room.run(2000)
    const hashes = b.replica.contentHashes()
    say(room, a.id, b, make(a, b))
    expect(refusals.map((refusal) => [refusal.code, refusal.from])).toContainEqual([code, a.id])
    if (code.startsWith('E_CRDT') || code === 'E_QUOTA') expect(b.replica.contentHashes()).toEqual(hashes)
    submit(a, 'j1', 3)
    room.run(60_000)
    expect(b.told.filter((record) => 'job' in record && record.job === 'j1').map(({ type }) => type)).toEqual(
      expect.arrayContaining(['claim', 'specs']),
    )
    expect(Object.fromEntries(a.replica.contentHashes())).toHaveProperty(
      'job:j1',
      b.replica.contentHashes().get('job:j1'),
    )
  })

  describe('[RP9] a job document takes entries only from who submitted or claimed the job', () => {
    const appended = (a: Member, job: string): ReplicaMessage => {
      const writer = new TextEncoder().encode(a.id)
      const update = first(forge(client, (doc) => doc.getArray('writers').push([writer])))
      return { type: 'update', name: `job:${job}`, update }
    }

    test.each(['update', 'state'] as const)('anybody else is refused and asked a few times: %s', (type) => {
      const room = open({ syncTries: 3 })
      const [a, b] = [room.join('a'), room.join('b')]
      submit(b, 'j0', 4)
      room.run(2000)
      const hashes = b.replica.contentHashes()
      const before = room.sent
      for (let i = 0; i < 10; i++) say(room, a.id, b, { ...appended(a, 'j0'), type } as ReplicaMessage)
      expect(refusals.map(({ code, from }) => [code, from])).toEqual(Array(10).fill(['E_CRDT_FOREIGN', a.id]))
      expect(room.sent - before).toBe(1)
      room.run(8000)
      expect(b.replica.contentHashes()).toEqual(hashes)
      // A question and its answer each time.
      expect(room.sent - before).toBeLessThanOrEqual(3 * 4)
      claim(a, 'j0')
      a.replica.write([outcomes('j0', a.id, 2, 0, 1)])
      room.run(2000)
      expect(b.told.filter(({ type }) => type === 'outcomes')).toHaveLength(1)
    })

    test('a claim that comes late is asked for, and the entries with it', () => {
      const room = open()
      const [a, b] = [room.join('a'), room.join('b')]
      submit(b, 'j0', 4)
      room.run(2000)
      room.weather = { ...calm, dropChance: 1 }
      claim(a, 'j0')
      room.run(100)
      room.weather = calm
      a.replica.write([outcomes('j0', a.id, 2, 0, 1)])
      room.run(200)
      expect(refusals.map(({ code }) => code)).toEqual(['E_CRDT_FOREIGN'])
      expect(b.told.map(({ type }) => type)).toEqual(['claim', 'outcomes'])
    })
  })

  test('[37] a flood of updates whose first is withheld costs one question, not a queue', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    room.run(2000)
    const before = room.sent
    for (const update of claims(client, 500).slice(1)) {
      say(room, a.id, b, { type: 'update', name: `lane:${a.id}`, update })
    }
    expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(['E_CRDT_GAP']))
    expect(room.sent - before).toBe(1)
    expect(b.replica.stats().documents).toBe(0)
  })

  test('nobody relays what the present member of a lane says itself', () => {
    const room = open()
    const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
    room.run(2000)
    say(room, c.id, b, { type: 'state', name: `lane:${a.id}`, update: first(claims(client, 1)) })
    expect(b.told).toEqual([])
    room.leave(a)
    say(room, c.id, b, { type: 'state', name: `lane:${a.id}`, update: first(claims(client, 1)) })
    expect(b.told).toEqual([{ type: 'claim', by: a.id, job: 'jx', epoch: 1 }])
  })

  test('a client id is one peer’s for ever', () => {
    const room = open()
    const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
    submit(a, 'j1', 1)
    room.run(2000)
    const update = first(claims(a.replica.clientId, 1))
    say(room, c.id, b, { type: 'update', name: `lane:${c.id}`, update })
    expect(refusals.at(-1)).toMatchObject({ code: 'E_CRDT_FOREIGN', from: c.id })
  })
})

describe('gaps', () => {
  test('one lost update is asked for at once', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    submit(a, 'j1', 5)
    room.run(2000)
    room.weather = { ...calm, dropChance: 1 }
    a.replica.write([specs('j1', 5, 5)])
    room.run(100)
    room.weather = calm
    a.replica.write([specs('j1', 10, 5)])
    room.run(100)
    expect(refusals.map(({ code }) => code)).toEqual(['E_CRDT_GAP'])
    expect(nosOf(b.told)).toEqual(Array.from({ length: 15 }, (_, no) => no))
  })

  test('a successor that appends after what is missing here counts as a gap', () => {
    const room = open()
    const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
    submit(a, 'j1', 5)
    room.run(2000)
    room.split([a, b], [c])
    a.replica.write([outcomes('j1', a.id, 1, 0, 1)])
    room.run(100)
    room.leave(a)
    room.weather = { ...calm, dropChance: 1 }
    room.heal()
    room.run(10)
    room.weather = calm
    b.replica.write([
      { type: 'claim', by: b.id, job: 'j1' as JobId, epoch: 2 },
      outcomes('j1', b.id, 2, 1, 1),
    ])
    room.run(10_000)
    expect(c.replica.contentHashes()).toEqual(b.replica.contentHashes())
  })
})

test('the owner register never goes back an epoch, whichever client id is higher', () => {
  for (const order of [0, 1]) {
    const room = open()
    const members = order === 0 ? ['a', 'b', 'c'] : ['b', 'a', 'c']
    const joined = members.map((id) => room.join(id))
    const [a, b, c] = ['a', 'b', 'c'].map((id) => joined.find((member) => member.id === id)) as [
      Member,
      Member,
      Member,
    ]
    room.run(2000)
    const job = 'j1' as JobId
    room.split([a, c], [b])
    for (let i = 0; i < 5; i++) a.replica.write([{ type: 'claim', by: a.id, job, epoch: 1 }])
    b.replica.write([{ type: 'claim', by: b.id, job, epoch: 2 }])
    room.run(1000)
    room.heal()
    room.run(60_000)
    a.replica.write([{ type: 'claim', by: a.id, job, epoch: 1 }])
    room.run(1000)
    const heard = c.told.flatMap((record) =>
      record.type === 'claim' ? [{ peer: record.by, epoch: record.epoch }] : [],
    )
    expect(heard.reduce((best, claim) => (isNewerClaim(claim, best) ? claim : best))).toEqual({
      peer: b.id,
      epoch: 2,
    })
  }
})

describe('forgetting', () => {
  test('many jobs leave nothing but a bounded lane', () => {
    const room = open({ endedKept: 16, tombstones: 64 })
    const [a, b] = [room.join('a'), room.join('b')]
    const sizes: number[] = []
    for (let i = 0; i < 400; i++) {
      const job = `job-${i}` as JobId
      submit(a, job, 20)
      room.run(6)
      a.replica.write([{ type: 'ended', by: a.id, job }])
      room.run(20)
      for (const { replica } of [a, b]) replica.dropJob(job)
      room.run(6)
      if (i % 100 === 99) sizes.push(b.replica.stats().bytes)
    }
    room.run(60_000)
    for (const { replica } of [a, b]) {
      const { documents, tombstones, bytes, structures } = replica.stats()
      expect(documents).toBe(1)
      expect(tombstones).toBeLessThanOrEqual(64)
      expect(bytes).toBeLessThan(2_500)
      expect(structures).toBeLessThan(120)
    }
    expect(Math.max(...sizes)).toBeLessThan(2 * (sizes[0] as number))
    expect(a.replica.contentHashes()).toEqual(b.replica.contentHashes())
  })

  test('the lane of a gone member is dropped once its jobs have ended', () => {
    const room = open()
    const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
    submit(a, 'j1', 3)
    room.run(2000)
    room.leave(a)
    room.run(120_000)
    expect([...b.replica.contentHashes().keys()]).toContain('lane:a')
    b.replica.write([
      { type: 'claim', by: b.id, job: 'j1' as JobId, epoch: 2 },
      { type: 'ended', by: b.id, job: 'j1' as JobId },
    ])
    room.run(120_000)
    for (const { replica } of [b, c])
      expect([...replica.contentHashes().keys()]).toEqual(['job:j1', 'lane:b'])
  })

  test('the word that a job ended outlives its writer while somebody needs it', () => {
    const room = open()
    const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
    submit(a, 'j1', 3)
    b.replica.write([
      { type: 'claim', by: b.id, job: 'j1' as JobId, epoch: 2 },
      { type: 'ended', by: b.id, job: 'j1' as JobId },
    ])
    room.run(2000)
    room.leave(b)
    room.run(200_000)
    expect([...c.replica.contentHashes().keys()]).toContain('lane:b')
    for (const { replica } of [a, c]) replica.dropJob('j1' as JobId)
    room.run(200_000)
    for (const { replica } of [a, c]) expect([...replica.contentHashes().keys()]).not.toContain('lane:b')
  })

  test('a member that missed the end of a job hears of it from those who dropped it', () => {
    const room = open({ endedKept: 0 })
    const [a, b] = [room.join('a'), room.join('b')]
    submit(a, 'j1', 3)
    room.run(2000)
    room.split([a], [b])
    a.replica.write([{ type: 'ended', by: a.id, job: 'j1' as JobId }])
    room.run(100)
    a.replica.dropJob('j1' as JobId)
    room.run(100)
    room.heal()
    room.run(60_000)
    expect(b.told).toContainEqual({ type: 'ended', by: a.id, job: 'j1' })
  })
})

describe('sync', () => {
  test('a lost deletion heals, though no state vector shows it', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    submit(a, 'j1', 1)
    room.run(2000)
    room.weather = { ...calm, dropChance: 1 }
    a.replica.dropJob('j1' as JobId)
    room.run(100)
    room.weather = calm
    room.run(60_000)
    expect(a.replica.contentHashes().has('lane:a')).toBe(false)
    expect(b.replica.contentHashes().has('lane:a')).toBe(false)
  })

  test('pieces of a document with several writers apply one after the other', () => {
    const room = open({ pieceBytes: 300 })
    const [a, b] = [room.join('a'), room.join('b')]
    room.run(2000)
    for (const member of [a, b]) claim(member, 'j1')
    for (let no = 0; no < 40; no++) {
      const member = no % 3 === 0 ? a : b
      member.replica.write([outcomes('j1', member.id, member === a ? 1 : 2, no, 1)])
      room.run(50)
    }
    for (const leaver of [a, b]) {
      const late = room.join(`late-${leaver.id}`)
      room.run(5000)
      const other = leaver === a ? b : late
      expect(late.replica.contentHashes()).toEqual(other.replica.contentHashes())
      room.leave(leaver)
    }
    expect(refusals).toEqual([])
  })

  test('a digest in many parts is answered completely', () => {
    const room = open({ digestEntries: 3 })
    const [a, b] = [room.join('a'), room.join('b')]
    room.run(2000)
    room.split([a], [b])
    for (let i = 0; i < 20; i++) submit(i % 2 === 0 ? a : b, `j${i}`, 2)
    room.run(1000)
    room.heal()
    room.run(8000)
    expect(a.replica.contentHashes().size).toBe(22)
    expect(b.replica.contentHashes()).toEqual(a.replica.contentHashes())
  })

  test('a newcomer gets a job from one member, not from each', () => {
    const room = open()
    const members = ['a', 'b', 'c', 'd'].map((id) => room.join(id))
    submit(members[0] as Member, 'j1', 3000)
    room.run(2000)
    let bytes = 0
    room.onSent((_from, to, message) => {
      if (to === 'z') bytes += message.length
    })
    const late = room.join('z')
    room.run(5000)
    expect(late.replica.contentHashes()).toEqual(members[1]?.replica.contentHashes())
    expect(bytes).toBeLessThan(2 * (members[0]?.replica.stats().bytes ?? 0))
  })

  test('a member whose lane was dropped comes back with it', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    a.replica.write([{ type: 'ended', by: a.id, job: 'j0' as JobId }])
    room.run(2000)
    room.split([a], [b])
    room.run(200_000)
    expect(b.replica.contentHashes().has('lane:a')).toBe(false)
    room.heal()
    room.run(5000)
    expect(b.replica.contentHashes()).toEqual(a.replica.contentHashes())
    submit(a, 'j1', 1)
    room.run(5000)
    expect(b.replica.contentHashes()).toEqual(a.replica.contentHashes())
  })

  test('a job that was dropped here is neither taken nor asked for again', () => {
    const room = open()
    const [a, b] = [room.join('a'), room.join('b')]
    submit(a, 'j1', 500)
    room.run(2000)
    b.replica.dropJob('j1' as JobId)
    let largest = 0
    room.onSent((_from, to, message) => {
      if (to === b.id) largest = Math.max(largest, message.length)
    })
    room.run(120_000)
    expect(largest).toBeLessThan(1000)
    a.replica.write([outcomes('j1', a.id, 1, 0, 1)])
    room.run(100)
    expect([...b.replica.contentHashes().keys()]).toEqual(['lane:a'])
  })
})

test('a value that cannot be packed becomes a failure that says so; arguments go empty', () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  const broken = {
    pack: (): Uint8Array => {
      throw new ShoalError('E_NOT_SERIALIZABLE', 'Cannot pack a function')
    },
  }
  const [spec] = (specs('j1', 0, 1) as Extract<ReplicatedRecord, { type: 'specs' }>).specs as [TaskSpec]
  const job = 'j1' as JobId
  claim(a, job)
  a.replica.write([
    {
      type: 'specs',
      job,
      specs: [
        { ...spec, args: broken },
        { ...spec, no: 1 },
      ],
    },
    {
      type: 'outcomes',
      job,
      by: a.id,
      epoch: 1,
      outcomes: [{ no: 0, outcome: { status: 'done', value: broken, processor: null } }],
    },
  ])
  room.run(1000)
  expect(nosOf(b.told)).toEqual([0, 1])
  const ended = b.told.find((record) => record.type === 'outcomes')
  expect(ended).toMatchObject({
    outcomes: [{ outcome: { status: 'failed', error: { code: 'E_NOT_SERIALIZABLE' } } }],
  })
})

test('one peer can neither open documents without end nor write under ids without end', () => {
  const room = open({ documents: 20, clientsPerPeer: 3 })
  const [a, b] = [room.join('a'), room.join('b')]
  room.run(2000)
  const writer = new TextEncoder().encode(a.id)
  for (let i = 0; i < 30; i++) for (const letter of ['x', 'y']) claim(a, `${letter}${i}`)
  room.run(2000)
  for (let i = 0; i < 30; i++) {
    const update = first(forge(500 + i, (doc) => doc.getArray('writers').push([writer])))
    say(room, a.id, b, { type: 'update', name: `job:x${i}`, update })
  }
  expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(['E_CRDT_FOREIGN']))
  expect(b.replica.stats().documents).toBe(1 + 2)
  for (let i = 0; i < 30; i++) {
    const update = first(forge(500, (doc) => doc.getArray('writers').push([writer])))
    say(room, a.id, b, { type: 'update', name: `job:y${i}`, update })
  }
  expect(refusals.at(-1)?.code).toBe('E_QUOTA')
  expect(b.replica.stats().documents).toBe(20)
})

test('operations travel in the job document once, and reach the store of a successor', () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  const source = 'export const run = (x) => x + 1'
  const hash = `${sha256Hex(source)}#run` as OperationHash
  a.operations.add({ hash, name: 'run', source, exportName: 'run' })
  claim(a, 'j1')
  for (let i = 0; i < 3; i++) {
    const record = specs('j1', i, 1) as Extract<ReplicatedRecord, { type: 'specs' }>
    a.replica.write([{ ...record, specs: record.specs.map((spec) => ({ ...spec, operation: hash })) }])
    room.run(50)
  }
  expect(b.operations.get(hash)?.source).toBe(source)
  expect(b.told.filter(({ type }) => type === 'operations')).toHaveLength(1)
  expect(refusals).toEqual([])
})

test('large jobs travel in updates and sync pieces below their limits', () => {
  const room = open({ batchBytes: 8_000, pieceBytes: 20_000 })
  const a = room.join('a')
  submit(a, 'j1', 5000)
  room.run(1000)
  let largest = 0
  let states = 0
  room.onSent((_from, to, message) => {
    largest = Math.max(largest, message.length)
    if (to === 'b') states++
  })
  const b = room.join('b')
  room.run(5000)
  expect(b.replica.contentHashes()).toEqual(a.replica.contentHashes())
  expect(new Set(nosOf(b.told)).size).toBe(5000)
  expect(states).toBeGreaterThan(2)
  expect(largest).toBeLessThan(32_000)
  a.replica.write([specs('j1', 5000, 3000)])
  room.run(1000)
  expect(largest).toBeLessThan(32_000)
  expect(new Set(nosOf(b.told)).size).toBe(8000)
})

test('[RP3] a member that is alone gathers longer; whoever comes then gets all of it at once', () => {
  const room = open()
  const a = room.join('a')
  submit(a, 'ja', 1)
  room.run(10)
  const { transactions } = a.replica.stats()
  for (let no = 1; no < 5; no++) {
    a.replica.write([specs('ja', no, 1)])
    room.run(8)
  }
  expect(a.replica.stats().transactions).toBe(transactions)
  const b = room.join('b')
  room.run(12)
  expect(b.told.filter(({ type }) => type === 'specs')).toHaveLength(2)
  a.replica.write([specs('ja', 5, 1)])
  room.run(10)
  expect(b.told.filter(({ type }) => type === 'specs')).toHaveLength(3)
})

test('one turn is one transaction per document, and each update goes once to each member', () => {
  const room = open()
  const [a] = [room.join('a'), room.join('b'), room.join('c')]
  room.run(2000)
  for (let no = 0; no < 100; no++) a.replica.write([specs('j1', no, 1), specs('j2', no, 1)])
  room.run(1)
  const { transactions, updatesWritten, updatesSent } = a.replica.stats()
  expect([transactions, updatesWritten, updatesSent]).toEqual([2, 2, 4])
})

test('a replica starts again from its storage, with the records of all writers', async () => {
  const storage = memoryReplicaStorage()
  const first = open({ compactAfter: 4 }, storage)
  const a = first.join('a')
  for (let no = 0; no < 10; no++) {
    a.replica.write([specs('j1', no, 1), { type: 'claim', by: a.id, job: 'j1' as JobId, epoch: no + 1 }])
    first.run(20)
  }
  a.replica.write([specs('j2', 0, 1)])
  first.run(20)
  a.replica.dropJob('j2' as JobId)
  const hashes = a.replica.contentHashes()
  a.replica.close()
  const second = open({ compactAfter: 4 }, storage, 2)
  const again = second.join('a')
  await again.replica.ready
  expect(again.replica.contentHashes()).toEqual(hashes)
  expect(nosOf(again.told)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(again.told.filter(({ type }) => type === 'claim')).toHaveLength(10)
  expect(refusals).toEqual([])
})

test('a storage that fails costs durability, not the replica, and is whole again after the next write', async () => {
  const good = memoryReplicaStorage()
  let fails = false
  const storage: ReplicaStorage = {
    ...good,
    append(name, update) {
      if (fails) throw new Error('disk is full')
      good.append(name, update)
    },
  }
  const room = open({}, storage)
  const a = room.join('a')
  const write = (no: number): void => {
    fails = no === 1
    a.replica.write([specs('j1', no, 1)])
    room.run(20)
  }
  for (const no of [0, 1, 2, 3]) write(no)
  expect(refusals).toMatchObject([{ code: 'E_STORAGE', from: a.id }])
  a.replica.close()
  const again = open({}, good, 2).join('a')
  await again.replica.ready
  expect(nosOf(again.told)).toEqual([0, 1, 2, 3])
})

function nosOf(records: readonly ReplicatedRecord[]): readonly number[] {
  return records.flatMap((record) => (record.type === 'specs' ? record.specs.map(({ no }) => no) : []))
}

function first(updates: readonly Uint8Array[]): Uint8Array {
  return updates[0] as Uint8Array
}

function varUint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varUint(Math.floor(value / 128))]
}
