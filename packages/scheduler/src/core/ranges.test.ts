import { expect, test } from 'vitest'
import { errorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import type { SliceItem } from '../model/message.ts'
import { PackedPayload, type Payload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import { defaultTaskOptions, type TaskOptionsRecord } from '../model/task.ts'
import { packRange, packValues } from '../testing/sim/program.ts'
import type { Call, Effect, EffectOf } from './effects.ts'
import type { CallEnded, Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { outcomeAt } from './slices.ts'
import { createState, findTask } from './state.ts'
import { step } from './step.ts'

const self = 'me' as PeerId
const job = 'job' as JobId
const operation = 'hash#default' as OperationHash
const value = (n: number): Payload => new PackedPayload(Uint8Array.of(n % 256))

type Untimed<E> = E extends Event ? Omit<E, 'at'> : never

/** A scheduler that is alone and knows that an item takes `itemMs`. */
function world(options: { workers?: number; itemMs?: number; isReplicated?: boolean } = {}) {
  const { workers = 1, itemMs = 0.1, isReplicated = false } = options
  const state = createState({ self, epoch: 1, role: 'member', name: self, isReplicated })
  let at = 0
  const feed = (event: Untimed<Event>): Effect[] => {
    const effects = step(state, { ...event, at } as Event)
    assertInvariants(state)
    return effects
  }
  const processors = Array.from({ length: workers }, (_, index) => ({
    id: processorId(self, 'worker', index),
    kind: 'worker',
    isDefault: true,
    score: 1,
  }))
  feed({ type: 'processors-changed', processors })
  state.estimates.set(operation, { meanMs: itemMs, byProcessor: new Map() })
  state.executor.runMs.set(operation, itemMs)
  return {
    state,
    feed,
    submit(count: number, given: Partial<TaskOptionsRecord> = {}) {
      const items = packRange(Array.from({ length: count }, (_, no) => value(no)))
      const range = { first: 0, operation, options: { ...defaultTaskOptions, ...given }, items }
      return feed({ type: 'range-submitted', job, name: 'job', range })
    },
    end: (...ended: CallEnded[]) => feed({ type: 'calls-ended', ended }),
    later: (ms: number) => {
      at += ms
      return feed({ type: 'time-passed' })
    },
    status: (no: number) => findTask(state, { job, no })?.status,
    outcome(no: number) {
      const task = findTask(state, { job, no })
      return task === undefined ? null : outcomeAt(task, no)
    },
  }
}

function only<T extends Effect['type']>(effects: readonly Effect[], type: T): EffectOf<T>[] {
  return effects.filter((effect): effect is EffectOf<T> => effect.type === type)
}

function callsOf(effects: readonly Effect[]): Call[] {
  return only(effects, 'execute').flatMap(({ calls }) => [...calls])
}

/** `first+count` of each call. */
function shapeOf(calls: readonly Call[]): string[] {
  return calls.map(({ no, items }) => `${no}+${items?.count ?? 1}`)
}

/** All items of a slice, or its first `count`, ran well but for those at `failed`. */
function sliced({ callId, no, items }: Call, count = items?.count ?? 1, failed: number[] = []): CallEnded {
  const values = packValues(Array.from({ length: count }, (_, index) => value(no + index)))
  const error = errorRecord('E_BODY', 'threw')
  const apart = failed.map((index): SliceItem => ({ index, outcome: { status: 'failed', error } }))
  return { callId, outcome: { status: 'sliced', values, apart }, ranMs: count * 0.1 }
}

test('[RG2] slices are a few milliseconds of work, and shrink towards the end', () => {
  const { submit, end, state } = world({ workers: 2 })
  let calls = callsOf(submit(400))
  expect(shapeOf(calls).toSorted()).toEqual(['0+25', '25+25', '50+25', '75+25'])
  const cuts: Call[] = []
  while (calls.length > 0) {
    cuts.push(...calls)
    calls = calls.flatMap((call) => callsOf(end(sliced(call))))
  }
  cuts.sort((left, right) => left.no - right.no)
  expect(cuts.at(-1)?.items?.count ?? 1).toBeLessThan(6)
  expect(state.jobs.get(job)).toMatchObject({ total: 400, done: 400 })
})

test('[RG2] of an operation that nobody has run one item comes at a time', () => {
  const { state, submit } = world({ workers: 2 })
  state.estimates.clear()
  expect(shapeOf(callsOf(submit(100))).toSorted()).toEqual(['0+1', '1+1', '2+1', '3+1'])
})

test('[RG1] a slice that ends well ends each of its items, told together', () => {
  const { submit, end, outcome } = world()
  const calls = callsOf(submit(20))
  const effects = calls.flatMap((call) => end(sliced(call)))
  expect(only(effects, 'settle')).toEqual([])
  const told = only(effects, 'settle-slice').map(({ ref, count }) => `${ref.no}+${count}`)
  expect(told).toEqual(shapeOf(calls))
  expect(outcome(7)).toMatchObject({ status: 'done', value: { bytes: Uint8Array.of(7) } })
})

test('[RG3] an item that threw is retried alone; what ran beside it stays done', () => {
  const { submit, end, status, outcome } = world()
  const [first] = callsOf(submit(20, { retryMax: 1 })) as [Call]
  const again = callsOf(end(sliced(first, undefined, [3])))
  expect(status(3)).toBe('assigned')
  expect([2, 4].map(status)).toEqual(['done', 'done'])
  const retried = again.find(({ no }) => no === 3) as Call
  expect(retried.items).toBeNull()
  end({
    callId: retried.callId,
    outcome: { status: 'failed', error: errorRecord('E_BODY', 'again') },
    ranMs: 1,
  })
  expect(outcome(3)).toMatchObject({ status: 'failed', attempts: 2, origin: { job, no: 3 } })
})

test('[RG3] items that had not started go back in front', () => {
  const { submit, end, status } = world()
  const [first] = callsOf(submit(20)) as [Call]
  const count = (first.items?.count ?? 0) - 2
  const [next] = callsOf(end(sliced(first, count))) as [Call]
  expect(status(count - 1)).toBe('done')
  expect(shapeOf([next])).toEqual([`${count}+2`])
})

test.each(['lost', 'refused'] as const)(
  '[RG4] a slice that is %s goes on as single tasks, none blamed',
  (how) => {
    const { submit, end, state } = world()
    const [first] = callsOf(submit(4)) as [Call]
    expect(first.items?.count).toBe(4)
    end({ callId: first.callId, outcome: { status: how }, ranMs: 0 })
    for (const no of [0, 1, 2, 3]) {
      expect(findTask(state, { job, no })).toMatchObject({ count: 1, status: 'assigned', losses: null })
    }
  },
)

test('[RG4] of a slice whose worker dies again and again only the item that kills is quarantined', () => {
  const { submit, end, outcome, later, state } = world()
  let calls = callsOf(submit(40))
  for (let round = 0; calls.length > 0 && round < 200; round++) {
    const [running, ...waiting] = calls as [Call, ...Call[]]
    const isDeadly = running.no <= 13 && 13 < running.no + (running.items?.count ?? 1)
    const well = running.items === null ? wellOf(running) : sliced(running)
    const lost: CallEnded = { callId: running.callId, outcome: { status: 'lost' }, ranMs: 0 }
    calls = [...waiting, ...callsOf(end(isDeadly ? lost : well)), ...callsOf(later(1))]
  }
  expect(outcome(13)).toMatchObject({ status: 'failed', error: { code: 'E_TASK_POISON' } })
  expect(state.jobs.get(job)).toMatchObject({ total: 40, done: 39, failed: 1 })
})

function wellOf({ callId, no }: Call): CallEnded {
  return { callId, outcome: { status: 'done', value: value(no) }, ranMs: 0.1 }
}

test('[RG5] cancelling one item ends it at once; the slice that had it stops, and its others are placed again', () => {
  const { submit, feed, status, outcome } = world()
  const [first] = callsOf(submit(20)) as [Call]
  const effects = feed({ type: 'tasks-cancelled', job, nos: [2], reason: 'enough' })
  expect(only(effects, 'abort-calls')).toMatchObject([{ calls: [first.callId] }])
  expect(outcome(2)).toEqual({ status: 'cancelled', reason: 'enough' })
  expect([1, 3].map(status)).toEqual(['assigned', 'assigned'])
})

test('[RG5] cancelling the job ends all its items', () => {
  const { submit, feed, state } = world()
  submit(100)
  feed({ type: 'tasks-cancelled', job, nos: null, reason: 'enough' })
  expect(state.jobs.get(job)).toMatchObject({ total: 100, cancelled: 100 })
})

test('[RG5] a task that needs items runs once all of them are done, however they were cut', () => {
  const { submit, feed, end, status } = world()
  const calls = callsOf(submit(20))
  const needs = [19, 0, 5].map((no, index) => ({ index, task: { job, no } }))
  const spec = { no: 20, operation, args: value(0), needs, options: defaultTaskOptions, parent: null }
  feed({ type: 'tasks-submitted', job, name: 'job', specs: [spec] })
  const seen: Call[] = []
  for (let call = calls.shift(); call !== undefined; call = calls.shift()) {
    seen.push(call)
    if (call.no === 20) break
    calls.push(...callsOf(end(call.items === null ? wellOf(call) : sliced(call))))
  }
  expect(seen.at(-1)).toMatchObject({
    no: 20,
    inputs: [
      { index: 1, value: { bytes: Uint8Array.of(0) } },
      { index: 2, value: { bytes: Uint8Array.of(5) } },
      { index: 0, value: { bytes: Uint8Array.of(19) } },
    ],
  })
  expect(status(19)).toBe('done')
})

test('[RG5] a task fails with the item that it needs, not with another one of the slice', () => {
  const { submit, feed, end, status } = world()
  const [first] = callsOf(submit(20)) as [Call]
  const specs = [2, 3].map((no, at) => {
    const needs = [{ index: 0, task: { job, no } }]
    return { no: 20 + at, operation, args: value(0), needs, options: defaultTaskOptions, parent: null }
  })
  feed({ type: 'tasks-submitted', job, name: 'job', specs })
  end(sliced(first, undefined, [3]))
  expect(status(20)).not.toBe('failed')
  expect(status(21)).toBe('failed')
})

test('[RG6] in documents a range is one record, and the outcomes of a slice are another', () => {
  const { submit, end } = world({ isReplicated: true })
  const effects = submit(6)
  const [range] = only(effects, 'write').flatMap(({ records }) =>
    records.filter(({ type }) => type === 'range'),
  )
  expect(range).toMatchObject({ range: { first: 0, operation, items: { count: 6 } } })
  const [first] = callsOf(effects) as [Call]
  const [written] = only(end(sliced(first)), 'write').flatMap(({ records }) => records)
  expect(written).toMatchObject({ type: 'outcomes', outcomes: [{ no: 0, count: 5 }] })
})
