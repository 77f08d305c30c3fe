import { describe, expect, test } from 'vitest'
import {
  defaultTaskOptions,
  type JobId,
  noNeeds,
  type OperationHash,
  type OutcomeRecord,
  PackedColumn,
  PackedPayload,
  type PeerId,
  type ReplicatedRecord,
  type TaskSpec,
} from '../../index.ts'
import {
  calm,
  createReplicaRoom,
  type InspectedReplica,
  type ReplicaMember,
  type ReplicaRoom,
  type ReplicaSeat,
  type ReplicaWeather,
} from './replica-room.ts'

export interface ReplicaContract {
  readonly name: string
  create(seat: ReplicaSeat): InspectedReplica
}

type Member = ReplicaMember<InspectedReplica>

/** Long enough, in virtual time, for every repair: anti-entropy included. */
const healMs = 300_000
const rough: ReplicaWeather = {
  dropChance: 0.1,
  duplicateChance: 0.1,
  delayMinMs: 1,
  delayMaxMs: 300,
  canReorder: true,
}

/** What the scheduler relies on in a replica, held on virtual time with seeded weather. */
export function replicaContract({ name, create }: ReplicaContract): void {
  describe(`replica contract: ${name}`, () => {
    const inRoom =
      (use: (room: ReplicaRoom<InspectedReplica>) => void, seed = 1) =>
      () => {
        const room = createReplicaRoom(seed, create)
        use(room)
        room.close()
      }

    test(
      'every record reaches every other member, and nobody hears its own',
      inRoom((room) => {
        const [a, b, c] = [room.join('a'), room.join('b'), room.join('c')]
        const fromA = writeJob(a, 'j1', 20)
        const fromB: ReplicatedRecord[] = [
          { type: 'profile', by: b.id, profile: { name: 'bee', processors: [] } },
          { type: 'claim', by: b.id, job: 'j1' as JobId, epoch: 2 },
          { type: 'ended', by: b.id, job: 'j1' as JobId },
        ]
        b.replica.write(fromB)
        room.run(healMs)
        expect(factsOf(a.told)).toEqual(factsOf(fromB))
        expect(factsOf(b.told)).toEqual(factsOf(fromA))
        expect(factsOf(c.told)).toEqual(factsOf([...fromA, ...fromB]))
        expectEqual(a, b, c)
      }),
    )

    test(
      'records keep every field',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b')]
        const records = fullRecords(a.id)
        a.replica.write(records)
        room.run(1000)
        expect(comparable(b.told)).toEqual(comparable(records))
      }),
    )

    test(
      'records of one document arrive in the order of writing',
      inRoom((room) => {
        room.weather = { ...calm, delayMaxMs: 100 }
        const [a, b] = [room.join('a'), room.join('b')]
        a.replica.write([{ type: 'claim', by: a.id, job: 'j1' as JobId, epoch: 1 }])
        for (let no = 0; no < 200; no++) {
          a.replica.write([specs('j1', no, 1)])
          if (no % 7 === 0) room.run(3)
        }
        room.run(healMs)
        const nos = b.told.flatMap((record) => (record.type === 'specs' ? record.specs.map((s) => s.no) : []))
        expect([...new Set(nos)]).toEqual(Array.from({ length: 200 }, (_, no) => no))
      }),
    )

    test(
      'a late joiner gets everything, from those who are left too',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b')]
        const written = [...writeJob(a, 'j1', 30), ...writeJob(b, 'j2', 30)]
        room.run(1000)
        room.leave(a)
        const c = room.join('c')
        room.run(healMs)
        expect(factsOf(c.told)).toEqual(factsOf(written))
        expectEqual(b, c)
      }),
    )

    test(
      'records that arrive before anybody listens are kept',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b', false)]
        const written = writeJob(a, 'j1', 5)
        room.run(1000)
        const told: ReplicatedRecord[] = []
        b.replica.onRecords((records) => void told.push(...records))
        room.run(1000)
        expect(factsOf(told)).toEqual(factsOf(written))
      }),
    )

    test(
      'a member that starts again gets back what it wrote before',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b')]
        const written = writeJob(a, 'j1', 10)
        room.run(1000)
        room.leave(a)
        room.run(1000)
        const again = room.join('a')
        room.run(healMs)
        expect(factsOf(again.told)).toEqual(factsOf(written))
        const more: ReplicatedRecord[] = [
          { type: 'claim', by: a.id, job: 'j1' as JobId, epoch: 2 },
          outcomes('j1', a.id, 2, 5, 5),
        ]
        again.replica.write(more)
        room.run(healMs)
        expect(factsOf(b.told)).toEqual(factsOf([...written, ...more]))
        expectEqual(again, b)
      }),
    )

    for (const seed of [1, 2, 3, 4, 5]) {
      test(
        `lost, doubled, delayed and reordered messages heal (seed ${seed})`,
        inRoom((room) => {
          room.weather = rough
          const members = ['a', 'b', 'c'].map((id) => room.join(id))
          const written = new Map(members.map((member) => [member, writeScattered(room, member)]))
          room.run(1000)
          room.weather = calm
          room.run(healMs)
          for (const member of members) {
            const others = members.filter((other) => other !== member)
            expect(factsOf(member.told)).toEqual(factsOf(others.flatMap((o) => written.get(o) ?? [])))
          }
          expectEqual(...members)
        }, seed),
      )

      test(
        `a partition heals with the records of both sides (seed ${seed})`,
        inRoom((room) => {
          const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => room.join(id)) as [
            Member,
            Member,
            Member,
            Member,
          ]
          const written = [...writeJob(a, 'j1', 10)]
          room.run(500)
          room.split([a, b], [c, d])
          const left = [outcomes('j1', a.id, 1, 0, 6)]
          const right: ReplicatedRecord[] = [
            { type: 'claim', by: c.id, job: 'j1' as JobId, epoch: 2 },
            outcomes('j1', c.id, 2, 3, 7),
          ]
          a.replica.write(left)
          c.replica.write(right)
          room.run(20_000)
          room.heal()
          room.run(healMs)
          expect(factsOf(b.told)).toEqual(factsOf([...written, ...left, ...right]))
          expect(factsOf(d.told)).toEqual(factsOf([...written, ...left, ...right]))
          expectEqual(a, b, c, d)
        }, seed),
      )
    }

    test(
      'a dropped job is not brought back by those who still have it',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b')]
        writeJob(a, 'j1', 10)
        writeJob(a, 'j2', 10)
        room.run(1000)
        b.replica.dropJob('j1' as JobId)
        const before = b.told.length
        a.replica.write([outcomes('j1', a.id, 1, 5, 5)])
        room.run(healMs)
        room.split([a], [b])
        room.heal()
        room.run(healMs)
        expect([...b.replica.contentHashes().keys()].some((document) => document.includes('j1'))).toBe(false)
        expect([...b.replica.contentHashes().keys()].some((document) => document.includes('j2'))).toBe(true)
        const later = b.told.slice(before).filter((record) => record.type !== 'ended')
        expect(factsOf(later)).toEqual([])
      }),
    )

    test(
      'a lane has one writer: equal claims of several members stay apart',
      inRoom((room) => {
        const members = ['a', 'b', 'c'].map((id) => room.join(id))
        for (const { id, replica } of members) {
          replica.write([{ type: 'claim', by: id, job: 'j1' as JobId, epoch: 2 }])
        }
        room.run(healMs)
        for (const member of members) {
          const by = member.told.flatMap((record) => (record.type === 'claim' ? [record.by] : []))
          expect([...new Set(by)].sort()).toEqual(
            members.map(({ id }) => id).filter((id) => id !== member.id),
          )
        }
        expectEqual(...members)
      }),
    )

    test(
      'garbage from a member harms nothing: the next record arrives',
      inRoom((room) => {
        const [a, b] = [room.join('a'), room.join('b')]
        room.run(100)
        for (const size of [0, 1, 5, 100]) {
          room.inject(
            a.id,
            b,
            Uint8Array.from({ length: size }, (_, i) => (i * 89 + size) & 255),
          )
        }
        const written = writeJob(a, 'j1', 3)
        room.run(healMs)
        expect(factsOf(b.told)).toEqual(factsOf(written))
      }),
    )
  })
}

/** A specification batch with small arguments. */
export function specs(job: string, from: number, count: number): ReplicatedRecord {
  const operation = `${'0'.repeat(64)}#run` as OperationHash
  const list = Array.from({ length: count }, (_, i): TaskSpec => {
    const args = new PackedPayload(Uint8Array.of(0x91, (from + i) & 127))
    return { no: from + i, operation, args, needs: noNeeds, options: defaultTaskOptions, parent: null }
  })
  return { type: 'specs', job: job as JobId, specs: list }
}

/** A batch of outcomes that are done. */
export function outcomes(
  job: string,
  by: PeerId,
  epoch: number,
  from: number,
  count: number,
): ReplicatedRecord {
  const list = Array.from({ length: count }, (_, i): OutcomeRecord => {
    const value = new PackedPayload(Uint8Array.of((from + i) & 127))
    return { no: from + i, outcome: { status: 'done', value, processor: null } }
  })
  return { type: 'outcomes', job: job as JobId, by, epoch, outcomes: list }
}

/** A member submits a job with `count` tasks, half of them done; returns what it wrote. */
function writeJob(member: Member, job: string, count: number): ReplicatedRecord[] {
  const records: ReplicatedRecord[] = [
    { type: 'job', by: member.id, job: job as JobId, name: `job ${job}` },
    specs(job, 0, count),
    outcomes(job, member.id, 1, 0, Math.floor(count / 2)),
  ]
  member.replica.write(records)
  return records
}

/** Many small writes with time between them, so that the weather can get at each. */
function writeScattered(room: ReplicaRoom<InspectedReplica>, member: Member): ReplicatedRecord[] {
  const all: ReplicatedRecord[] = []
  for (let round = 0; round < 20; round++) {
    const job = `${member.id}${round % 3}`
    const records: ReplicatedRecord[] = [
      { type: 'claim', by: member.id, job: job as JobId, epoch: round + 1 },
      specs(job, round * 4, 4),
      outcomes(job, member.id, 1, round * 4, 2),
    ]
    member.replica.write(records)
    all.push(...records)
    room.run(37)
  }
  return all
}

function fullRecords(by: PeerId): ReplicatedRecord[] {
  const job = 'j1' as JobId
  const [plain] = (specs('j1', 0, 1) as Extract<ReplicatedRecord, { type: 'specs' }>).specs as [TaskSpec]
  const cause = { name: 'Inner', message: 'why', code: null, stack: null, cause: null, fields: null }
  const error = {
    ...cause,
    name: 'TypeError',
    code: 'E_X',
    stack: 'at x',
    cause,
    fields: Uint8Array.of(1, 2),
  }
  const options = { ...defaultTaskOptions, name: 'täsk', priority: -1.5, retryMax: 2, timeoutMs: 10 }
  const scope = { type: 'union', scopes: [{ type: 'any' }, { type: 'kind', kind: 'webgpu' }] } as const
  const origin = { job: 'j2' as JobId, no: 7 }
  const processor = `${by}/worker/0` as Extract<OutcomeRecord['outcome'], { status: 'done' }>['processor']
  const value = new PackedPayload(new Uint8Array(0))
  const numbers = new PackedColumn(Float64Array.of(1, 2, 0.5), true)
  const parts = new PackedColumn([Uint8Array.of(0x91, 1), Uint8Array.of(0x91, 2)], false)
  return [
    { type: 'profile', by, profile: { name: 'p', processors: [] } },
    { type: 'job', by, job, name: 'job' },
    {
      type: 'specs',
      job,
      specs: [
        plain,
        { ...plain, no: 1, needs: [{ index: 0, task: { job, no: 0 } }] },
        { ...plain, no: 2, needs: [{ index: -1, task: origin }], parent: { no: 1, attempt: 3, seq: 9 } },
        { ...plain, no: 3, options: { ...options, scope }, parent: { no: 0, attempt: 1, seq: 0 } },
      ],
    },
    { type: 'range', job, range: { first: 10, operation: plain.operation, options, items: numbers } },
    { type: 'range', job, range: { first: 13, operation: plain.operation, options, items: parts } },
    {
      type: 'outcomes',
      job,
      by,
      epoch: 1,
      outcomes: [
        { no: 0, outcome: { status: 'done', value, processor } },
        { no: 1, outcome: { status: 'cancelled', reason: 'no need' } },
        { no: 2, outcome: { status: 'failed', error, origin, attempts: 2, peer: 'b' } },
        {
          no: 3,
          outcome: { status: 'failed', error: cause, origin: { job, no: 3 }, attempts: 0, peer: null },
        },
        { no: 10, count: 3, outcome: { status: 'done', value: numbers, processor } },
        { no: 13, count: 2, outcome: { status: 'cancelled', reason: 'no need' } },
      ],
    },
  ]
}

/** Plain, comparable facts of records, each once, sorted: batches may be cut and repeated at will. */
function factsOf(records: readonly ReplicatedRecord[]): readonly string[] {
  const facts = records.flatMap((record): readonly string[] => {
    if (record.type === 'specs') return record.specs.map((spec) => `spec ${record.job} ${textOf(spec)}`)
    if (record.type === 'operations') return []
    if (record.type !== 'outcomes') return [textOf(record)]
    return record.outcomes.map((one) => `outcome ${record.job} ${record.by} ${record.epoch} ${textOf(one)}`)
  })
  return [...new Set(facts)].sort()
}

function comparable(records: readonly ReplicatedRecord[]): readonly unknown[] {
  return records.filter(({ type }) => type !== 'operations').map((record) => JSON.parse(textOf(record)))
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof PackedPayload || part instanceof PackedColumn) return [...part.pack()]
    return part instanceof Uint8Array ? [...part] : part
  })
}

function expectEqual(...members: readonly Member[]): void {
  const [first, ...others] = members.map(({ replica }) => Object.fromEntries(replica.contentHashes()))
  expect(Object.keys(first ?? {}).length).toBeGreaterThan(0)
  for (const other of others) expect(other).toEqual(first)
}
