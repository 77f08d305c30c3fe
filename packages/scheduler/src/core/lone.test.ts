import { expect, test } from 'vitest'
import { errorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import type { Assignment } from '../model/message.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import { defaultTaskOptions, noNeeds, type TaskSpec } from '../model/task.ts'
import { packRange, packValues } from '../testing/sim/program.ts'
import { createRng, type SimRng } from '../testing/sim/rng.ts'
import type { Call, Effect } from './effects.ts'
import type { CallEnded, Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { stepLone } from './lone.ts'
import { noteTime, stepFully } from './long-way.ts'
import { createState, type SchedulerState, tasksOf } from './state.ts'
import { step } from './step.ts'

const self = 'me' as PeerId
const helper = 'helper' as PeerId
const job = 'job' as JobId
const operation = 'hash#default' as OperationHash

type Untimed<E> = E extends Event ? Omit<E, 'at'> : never

interface Twins {
  readonly short: SchedulerState
  /** Feeds both and compares them; gives the effects. */
  feed(event: Untimed<Event>): Effect[]
  later(ms: number): void
}

/** One scheduler that may take the short way, and one that never does. */
function twins(isReplicated: boolean): Twins {
  const make = (): SchedulerState => createState({ self, epoch: 1, role: 'member', name: self, isReplicated })
  const short = make()
  const long = make()
  let at = 0
  return {
    short,
    feed(event) {
      const timed = { ...event, at } as Event
      const effects = step(short, timed)
      noteTime(long, timed.at)
      expect(plain(effects)).toBe(plain(stepFully(long, timed)))
      expect(plain(pictureOf(short))).toBe(plain(pictureOf(long)))
      assertInvariants(short)
      return effects
    },
    later(ms) {
      at += ms
    },
  }
}

/** As data alone: ranges bring functions along. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_, part) => (part instanceof Map || part instanceof Set ? [...part] : part))
}

/** All that a step may change, without the links between records. */
function pictureOf(state: SchedulerState): unknown {
  const { executor, estimates, timers } = state
  const known = state.jobs.get(job)
  const tasks = known === undefined ? [] : [...tasksOf(known)]
  return {
    job: { ...known, tasks: [], remakes: [], nested: [] },
    tasks: tasks.map((task) => ({
      ...task,
      job: null,
      processor: task.processor?.record.id,
      dependents: task.dependents?.map(({ spec }) => spec.no),
    })),
    // Of the last ones: to look at all each time would take half a minute.
    story: tasks.slice(-3).map((task) => state.story.of(task)),
    lanes: state.lanes.map((lane) => [...lane.queue].map(({ spec }) => spec.no)),
    processors: [...state.processors.values()].map((processor) => ({
      ...processor,
      guest: processor.guest?.spec.no,
      assigned: [...processor.assigned].map(({ spec }) => spec.no),
    })),
    executor: {
      ...executor,
      processors: [...executor.processors].map(([id, one]) => [id, one, [...one.queue]]),
    },
    estimates,
    wakeAt: timers.nextAt,
  }
}

const lent = (peer: PeerId, workers: number) =>
  Array.from({ length: workers }, (_, index) => ({
    id: processorId(peer, 'worker', index),
    kind: 'worker',
    isDefault: true,
    score: 1,
  }))

function specOf(no: number, after: number | null, timeoutMs: number): TaskSpec {
  const needs = after === null ? noNeeds : [{ index: 0, task: { job, no: after } }]
  const options = timeoutMs === 0 ? defaultTaskOptions : { ...defaultTaskOptions, timeoutMs }
  return { no, operation, args: new PackedPayload(Uint8Array.of(no % 256)), needs, options, parent: null }
}

/** How a call or attempt ends: mostly well. */
function outcomeOf(rng: SimRng, no: number): Exclude<CallEnded['outcome'], { readonly status: 'sliced' }> {
  if (rng.chance(0.8)) return { status: 'done', value: new PackedPayload(Uint8Array.of(no % 256)) }
  return rng.pick([
    { status: 'failed', error: errorRecord('E_BODY', 'threw') },
    { status: 'lost' },
    { status: 'refused' },
    { status: 'cancelled', reason: 'stopped' },
  ] as const)
}

function endOf(rng: SimRng, { callId, no, items }: Call): CallEnded {
  if (items === null) return { callId, outcome: outcomeOf(rng, no), ranMs: rng.between(0, 2) }
  const values = packValues(
    Array.from({ length: items.count }, () => new PackedPayload(Uint8Array.of(no % 256))),
  )
  return { callId, outcome: { status: 'sliced', values, apart: [] }, ranMs: items.count }
}

/** A user, processors and another peer that do what they like. */
function play(rng: SimRng, { feed, later }: Twins): void {
  const running: Call[] = []
  const away: Assignment[] = []
  let next = 0
  let workers = 2
  const note = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.type === 'execute') running.push(...effect.calls)
      if (effect.type === 'send' && effect.message.type === 'assign') away.push(...effect.message.tasks)
    }
  }
  const submit = (count: number): void => {
    const after = next > 0 && rng.chance(0.1) ? rng.int(next) : null
    const timeoutMs = rng.chance(0.1) ? 50 : 0
    const specs = Array.from({ length: count }, (_, index) => specOf(next + index, after, timeoutMs))
    next += count
    note(feed({ type: 'tasks-submitted', job, name: 'job', specs }))
  }
  const submitRange = (): void => {
    const items = packRange([1, 2, 3].map((byte) => new PackedPayload(Uint8Array.of(byte))))
    const range = { first: next, operation, options: defaultTaskOptions, items }
    next += 3
    note(feed({ type: 'range-submitted', job, name: 'job', range }))
  }
  const end = (count: number): void => {
    const calls = Array.from({ length: Math.min(count, running.length) }, () =>
      running.splice(rng.int(running.length), 1),
    ).flat()
    note(feed({ type: 'calls-ended', ended: calls.map((call) => endOf(rng, call)) }))
  }
  const answer = (): void => {
    const [task] = away.splice(0, 1)
    if (task === undefined) return
    const result = { no: task.no, attempt: task.attempt, outcome: outcomeOf(rng, task.no), ranMs: 1 }
    const message = { type: 'results', job, epoch: 1, results: [result] } as const
    note(feed({ type: 'message-received', from: helper, message }))
  }
  const now = (): void => {
    const kind = rng.int(20)
    if (kind < 8) submit(1)
    else if (kind === 8) submit(2)
    else if (kind === 9) submitRange()
    else if (kind < 15) end(1)
    else if (kind === 15) end(2)
    else if (kind === 16) note(feed({ type: 'tasks-cancelled', job, nos: [rng.int(next + 1)], reason: 'no' }))
    else if (kind === 17)
      note(
        feed({ type: 'processors-changed', processors: lent(self, rng.chance(0.5) ? workers : ++workers) }),
      )
    else if (kind === 18) answer()
    else note(feed({ type: 'tasks-watched', refs: [{ job, no: rng.int(next + 2) }] }))
  }
  for (let turn = 0; turn < 60; turn++) {
    now()
    if (rng.chance(0.3)) later(rng.between(0, 3))
    if (rng.chance(0.06)) later(2500)
  }
  if (rng.chance(0.5)) feed({ type: 'job-sealed', job })
  for (let left = 0; left < 200 && running.length + away.length > 0; left++) {
    if (running.length > 0) end(1)
    else answer()
  }
}

test.each([
  { where: 'alone', isReplicated: false },
  { where: 'in a room', isReplicated: true },
])(
  '[PL5] the short way of a task gives the state and the effects of the long one: $where',
  ({ isReplicated }) => {
    for (let seed = 1; seed <= 30; seed++) {
      const pair = twins(isReplicated)
      pair.feed({ type: 'processors-changed', processors: lent(self, 2) })
      if (isReplicated) {
        pair.feed({ type: 'peer-joined', peer: helper, epoch: 1, role: 'contributor' })
        pair.feed({
          type: 'message-received',
          from: helper,
          message: {
            type: 'profile',
            wantsYours: false,
            profile: { name: 'h', processors: lent(helper, 1) },
          },
        })
      }
      play(createRng(seed), pair)
    }
  },
)

test('[PL5] a task alone takes the short way, there and back', () => {
  const { short, feed, later } = twins(false)
  feed({ type: 'processors-changed', processors: lent(self, 2) })
  // The first one opens the job and its lane.
  feed({ type: 'tasks-submitted', job, name: 'job', specs: [specOf(0, null, 0)] })
  const value = new PackedPayload(Uint8Array.of(1))
  const done = (callId: number): CallEnded => ({ callId, outcome: { status: 'done', value }, ranMs: 1 })
  feed({ type: 'calls-ended', ended: [done(1)] })
  later(1)

  short.now = 1
  const submitted = stepLone(short, {
    type: 'tasks-submitted',
    at: 1,
    job,
    name: 'job',
    specs: [specOf(1, null, 0)],
  })
  const ended = stepLone(short, { type: 'calls-ended', at: 1, ended: [done(2)] })
  expect(submitted?.map(({ type }) => type)).toEqual(['execute'])
  expect(ended?.map(({ type }) => type)).toEqual(['settle'])
})
