import { expect, test } from 'vitest'
import { PackedColumn } from '../model/column.ts'
import { errorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import type { AttemptResult, Message, MessageOf, SliceAssignment, SliceItem } from '../model/message.ts'
import { processorId } from '../model/processor.ts'
import type { ReplicatedRecord } from '../model/records.ts'
import { defaultTaskOptions, type RangeSpec } from '../model/task.ts'
import type { Effect, EffectOf } from './effects.ts'
import type { Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { outcomeAt } from './slices.ts'
import { createState, findTask, tasksOf } from './state.ts'
import { step } from './step.ts'

const self = 'me' as PeerId
const far = 'far' as PeerId
const gone = 'gone' as PeerId
const job = 'job' as JobId
const operation = 'hash#default' as OperationHash
const worker = processorId(far, 'worker', 0)

type Untimed<E> = E extends Event ? Omit<E, 'at'> : never

function column(from: number, count: number): PackedColumn {
  return new PackedColumn(
    Array.from({ length: count }, (_, index) => Uint8Array.of(from + index)),
    false,
  )
}

function rangeOf(count: number, options = defaultTaskOptions): RangeSpec {
  return { first: 0, operation, options, items: column(0, count) }
}

/** A member without workers, and `far` with one, which takes 0.1 ms for an item. */
function room() {
  const state = createState({ self, epoch: 1, role: 'member', name: self, isReplicated: true })
  let at = 0
  const feed = (event: Untimed<Event>): Effect[] => {
    const effects = step(state, { ...event, at } as Event)
    assertInvariants(state)
    return effects
  }
  const say = (message: Message, from = far): Effect[] => feed({ type: 'message-received', from, message })
  const processors = [{ id: worker, kind: 'worker', isDefault: true, score: 1 }]
  feed({ type: 'peer-joined', peer: far, epoch: 1, role: 'member' })
  say({ type: 'profile', profile: { name: far, processors }, wantsYours: false })
  state.estimates.set(operation, { meanMs: 0.1, byProcessor: new Map() })
  return {
    state,
    feed,
    say,
    submit: (range: RangeSpec) => feed({ type: 'range-submitted', job, name: 'job', range }),
    told: (...results: AttemptResult[]) => say({ type: 'results', job, epoch: 1, results }),
    read: (...records: ReplicatedRecord[]) => feed({ type: 'records-arrived', records }),
    later(ms: number) {
      at += ms
      return feed({ type: 'time-passed' })
    },
    status: (no: number) => findTask(state, { job, no })?.status,
    outcome(no: number) {
      const task = findTask(state, { job, no })
      return task === undefined ? null : outcomeAt(task, no)
    },
    /** `first+count status` of all that stands for itself. */
    pieces() {
      const known = state.jobs.get(job)
      return known === undefined
        ? []
        : [...tasksOf(known)].map(({ spec, count, status }) => `${spec.no}+${count} ${status}`)
    },
  }
}

function messages<T extends Message['type']>(effects: readonly Effect[], type: T): MessageOf<T>[] {
  return effects
    .filter((effect): effect is EffectOf<'send'> => effect.type === 'send' && effect.to === far)
    .map(({ message }) => message)
    .filter((message): message is MessageOf<T> => message.type === type)
}

function slicesOf(effects: readonly Effect[]): SliceAssignment[] {
  return messages(effects, 'assign').flatMap(({ tasks }) => tasks as readonly SliceAssignment[])
}

function shapeOf(slices: readonly SliceAssignment[]): string[] {
  return slices.map(({ no, items }) => `${no}+${items?.count ?? 1}`)
}

/** The first `ran` items of a slice ended well, but for those at `failed`. */
function ranOf(
  { no, attempt, items }: SliceAssignment,
  ran = items.count,
  failed: number[] = [],
): AttemptResult {
  const error = errorRecord('E_BODY', 'threw')
  const apart = failed.map((index): SliceItem => ({ index, outcome: { status: 'failed', error } }))
  const outcome = { status: 'sliced', values: column(100 + no, ran), apart } as const
  return { no, attempt, count: items.count, outcome, ranMs: ran / 10 }
}

const doneOf = (n: number) => ({ status: 'done', value: { bytes: Uint8Array.of(100 + n) } })

test('[RG2] a processor of another peer gets slices, and not more bytes in one than a link should carry', () => {
  const small = room().submit(rangeOf(200))
  expect(shapeOf(slicesOf(small))).toEqual(['0+25', '25+25'])
  const parts = Array.from({ length: 200 }, () => new Uint8Array(4000))
  const large = room().submit({ ...rangeOf(0), items: new PackedColumn(parts, false) })
  expect(new Set(slicesOf(large).map(({ items }) => items.count))).toEqual(new Set([4]))
})

test('[RG3] its result ends all its items, in one record, and is acknowledged', () => {
  const { submit, told, outcome, state } = room()
  const [first] = slicesOf(submit(rangeOf(100))) as [SliceAssignment]
  const effects = told(ranOf(first))
  expect(messages(effects, 'commit')).toMatchObject([{ attempts: [{ no: 0, attempt: first.attempt }] }])
  const written = effects.filter(({ type }) => type === 'write') as EffectOf<'write'>[]
  expect(written.flatMap(({ records }) => records)).toMatchObject([
    { type: 'outcomes', outcomes: [{ no: 0, count: 25 }] },
  ])
  expect(outcome(7)).toMatchObject(doneOf(7))
  expect(state.jobs.get(job)).toMatchObject({ total: 100, done: 25 })
})

test('[RG3] what had not started is placed again, what threw is tried again alone', () => {
  const { submit, told, status, outcome } = room()
  const [first] = slicesOf(submit(rangeOf(50, { ...defaultTaskOptions, retryMax: 1 }))) as [SliceAssignment]
  const again = slicesOf(told(ranOf(first, 20, [3])))
  expect(outcome(4)).toMatchObject(doneOf(4))
  expect(status(3)).toBe('assigned')
  expect(shapeOf(again)).toContain('3+1')
  expect(shapeOf(again).join(' ')).toContain('20+')
})

test.each([
  ['with another number of tasks', (one: AttemptResult) => ({ ...one, count: 24 })],
  ['of another attempt', (one: AttemptResult) => ({ ...one, attempt: one.attempt + 9 })],
  ['that begins elsewhere', (one: AttemptResult) => ({ ...one, no: 1 })],
])('[RG3] a result %s changes nothing', (_, change) => {
  const { submit, told, state } = room()
  const [first] = slicesOf(submit(rangeOf(100))) as [SliceAssignment]
  told(change(ranOf(first)))
  expect(state.jobs.get(job)).toMatchObject({ total: 100, done: 0 })
})

test('[RG3] one value for a whole slice is no answer: its items go on alone', () => {
  const { submit, told, state } = room()
  const [first] = slicesOf(submit(rangeOf(100))) as [SliceAssignment]
  told({ ...ranOf(first), outcome: { status: 'done', value: column(0, 1).at(0) } })
  expect(state.jobs.get(job)).toMatchObject({ done: 0 })
  expect(findTask(state, { job, no: 3 })).toMatchObject({ count: 1, losses: null })
})

test('[RG4] of a peer that dies the slice that ran is cut into its items, none blamed; those behind it stay whole', () => {
  const { submit, feed, pieces, state } = room()
  submit(rangeOf(60))
  feed({ type: 'peer-left', peer: far, cause: 'dead' })
  expect(pieces().filter((piece) => piece.includes('+1 '))).toHaveLength(25)
  expect(pieces().at(-1)).not.toContain('+1 ')
  expect([...tasksOf(state.jobs.get(job) as never)].every(({ losses }) => losses === null)).toBe(true)
})

test('[RG5] cancelling one item stops its slice there', () => {
  const { submit, feed, outcome } = room()
  const [first] = slicesOf(submit(rangeOf(100))) as [SliceAssignment]
  const effects = feed({ type: 'tasks-cancelled', job, nos: [9], reason: 'enough' })
  expect(messages(effects, 'abort')).toMatchObject([{ attempts: [{ attempt: first.attempt }] }])
  expect(outcome(9)).toEqual({ status: 'cancelled', reason: 'enough' })
  expect(shapeOf(slicesOf(effects)).slice(0, 3)).toEqual(['0+5', '5+4', '10+7'])
})

/** A member that has read of a range of 40 whose owner is gone, and that has claimed it. */
function successor(...outcomes: readonly { no: number; count: number }[]) {
  const here = room()
  here.read({ type: 'job', by: gone, job, name: 'job' }, { type: 'range', job, range: rangeOf(40) })
  for (const { no, count } of outcomes) {
    const value = count === 1 ? column(100 + no, 1).at(0) : column(100 + no, count)
    const outcome = { status: 'done', value, processor: null } as const
    here.read({ type: 'outcomes', job, by: gone, epoch: 1, outcomes: [{ no, count, outcome }] })
  }
  let claimed: Effect[] = []
  for (let round = 0; round < 20 && claimed.length === 0; round++)
    claimed = here.later(1000).filter((effect) => effect.type === 'send' && effect.message.type === 'adopt')
  const { message } = claimed[0] as EffectOf<'send'>
  const { epoch } = message as MessageOf<'adopt'>
  const holdings = (parts: Partial<MessageOf<'holdings'>>): Effect[] =>
    here.say({ type: 'holdings', job, epoch, running: [], results: [], unknown: [], ...parts })
  return {
    ...here,
    holdings,
    told: (result: AttemptResult) => here.say({ type: 'results', job, epoch, results: [result] }),
  }
}

test('[RG7] a successor takes a slice that runs over whole, and what it gives counts', () => {
  const { holdings, told, later, pieces, outcome } = successor({ no: 0, count: 10 })
  holdings({ running: [{ no: 10, attempt: 77, processor: worker, count: 20 }] })
  expect(pieces()).toEqual(['0+10 done', '10+20 assigned', '30+10 waiting'])
  const placed = slicesOf(later(400))
  expect(shapeOf(placed)).toEqual(['30+5'])
  told({
    no: 10,
    attempt: 77,
    count: 20,
    outcome: { status: 'sliced', values: column(110, 20), apart: [] },
    ranMs: 1,
  })
  expect(outcome(15)).toMatchObject(doneOf(15))
  expect(outcome(3)).toMatchObject(doneOf(3))
})

test('[RG7] a slice that runs, of which items have ended, is stopped, and the others are placed again', () => {
  const { holdings, later, status } = successor({ no: 12, count: 1 })
  const effects = holdings({ running: [{ no: 10, attempt: 77, processor: worker, count: 20 }] })
  expect(messages(effects, 'abort')).toMatchObject([{ attempts: [{ no: 10, attempt: 77 }] }])
  later(400)
  expect([10, 12, 29].map(status)).toEqual(['assigned', 'done', 'assigned'])
})

test('[RG7] a result that was held counts for those of its items that are open', () => {
  const { holdings, later, outcome, status, state } = successor({ no: 5, count: 10 })
  const error = errorRecord('E_BODY', 'threw')
  const apart: SliceItem[] = [{ index: 1, outcome: { status: 'failed', error } }]
  holdings({
    results: [
      {
        no: 0,
        attempt: 77,
        count: 25,
        outcome: { status: 'sliced', values: column(200, 20), apart },
        ranMs: 1,
      },
    ],
  })
  expect(outcome(0)).toMatchObject({ value: { bytes: Uint8Array.of(200) } })
  expect(outcome(7)).toMatchObject(doneOf(7))
  expect(status(1)).toBe('failed')
  expect(outcome(19)).toMatchObject({ value: { bytes: Uint8Array.of(219) } })
  expect(status(20)).toBe('waiting')
  later(400)
  expect(status(20)).toBe('assigned')
  expect(state.jobs.get(job)).toMatchObject({ total: 40, done: 19, failed: 1 })
})

test('[RG6] records that were cut otherwise meet each item: the lower epoch’s outcome counts', () => {
  const { read, outcome, state } = room()
  const ended = (by: PeerId, epoch: number, no: number, count: number, from: number): ReplicatedRecord => {
    const outcome = { status: 'done', value: column(from, count), processor: null } as const
    return { type: 'outcomes', job, by, epoch, outcomes: [{ no, count, outcome }] }
  }
  const range: ReplicatedRecord = { type: 'range', job, range: rangeOf(30) }
  read({ type: 'job', by: gone, job, name: 'job' }, ended(far, 2, 5, 10, 50))
  // Twice, and in two parts: each task is one task.
  read({ ...range, range: { ...rangeOf(30), items: column(0, 12) } }, range, ended(gone, 1, 0, 8, 100))
  read(ended(gone, 1, 12, 6, 112), ended(far, 2, 0, 30, 0))
  const bytes = [2, 6, 9, 13, 16, 25].map(
    (no) => (outcome(no) as unknown as { value: { bytes: Uint8Array } }).value.bytes[0],
  )
  expect(bytes).toEqual([102, 106, 54, 113, 116, 25])
  expect(state.jobs.get(job)).toMatchObject({ total: 30, done: 30 })
})
