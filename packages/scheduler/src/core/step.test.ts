import { expect, test } from 'vitest'
import { errorRecord } from '../model/errors.ts'
import { type JobId, nestedBase, type OperationHash, type PeerId, type ProcessorId } from '../model/ids.ts'
import type { Assignment, AttemptResult, MessageOf } from '../model/message.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import {
  defaultTaskOptions,
  type Need,
  noNeeds,
  type TaskOptionsRecord,
  type TaskSpec,
} from '../model/task.ts'
import type { Effect, EffectOf } from './effects.ts'
import type { Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { createState, findTask, type SchedulerState } from './state.ts'
import { step } from './step.ts'
import { isPoison } from './suspects.ts'

const me = 'me' as PeerId
const far = 'far' as PeerId
const job = 'job' as JobId
const operation = 'hash#default' as OperationHash
const value = (n: number): PackedPayload => new PackedPayload(Uint8Array.of(n))

function spec(
  no: number,
  needs: readonly Need[] = noNeeds,
  options: Partial<TaskOptionsRecord> = {},
): TaskSpec {
  return {
    no,
    operation,
    args: value(no),
    needs,
    options: { ...defaultTaskOptions, ...options },
    parent: null,
  }
}

function need(no: number, index = 0): Need {
  return { index, task: { job, no } }
}

/** A scheduler with `count` workers of its own that has seen nothing yet. */
function world(options: { workers?: number; isReplicated?: boolean; self?: PeerId } = {}) {
  const self = options.self ?? me
  const state = createState({
    self,
    epoch: 1,
    role: 'member',
    name: self,
    isReplicated: options.isReplicated ?? false,
  })
  let at = 0
  const feed = (
    event: { [K in Event['type']]: Omit<Extract<Event, { type: K }>, 'at'> }[Event['type']],
    now = at,
  ): Effect[] => {
    at = now
    const effects = step(state, { ...event, at } as Event)
    assertInvariants(state)
    return effects
  }
  const ids = Array.from({ length: options.workers ?? 1 }, (_, index) => processorId(self, 'worker', index))
  feed({
    type: 'processors-changed',
    processors: ids.map((id) => ({ id, kind: 'worker', isDefault: true, score: 1 })),
  })
  return { state, feed, ids }
}

function only<T extends Effect['type']>(effects: readonly Effect[], type: T): EffectOf<T>[] {
  return effects.filter((effect): effect is EffectOf<T> => effect.type === type)
}

function calls(effects: readonly Effect[]): number[] {
  return only(effects, 'execute').flatMap((effect) => effect.calls.map((call) => call.no))
}

function callIdOf(state: SchedulerState, no: number): number {
  for (const [callId, held] of state.executor.calls) if (held.call.no === no) return callId
  throw new Error(`no call of task ${no}`)
}

function status(state: SchedulerState, no: number): string | undefined {
  return findTask(state, { job, no })?.status
}

function join(feed: ReturnType<typeof world>['feed'], peer: PeerId, workers: number): Effect[] {
  const processors = Array.from({ length: workers }, (_, index) => ({
    id: processorId(peer, 'worker', index),
    kind: 'worker',
    isDefault: true,
    score: 1,
  }))
  return [
    ...feed({ type: 'peer-joined', peer, epoch: 1, role: 'member' }),
    ...feed({
      type: 'message-received',
      from: peer,
      message: { type: 'profile', profile: { name: peer, processors }, wantsYours: false },
    }),
  ]
}

function assignments(effects: readonly Effect[], to: PeerId): Assignment[] {
  return only(effects, 'send')
    .filter((effect) => effect.to === to && effect.message.type === 'assign')
    .flatMap((effect) => [...(effect.message as MessageOf<'assign'>).tasks])
}

test('[TS1] step() runs a task on a local processor and settles it once', () => {
  const { state, feed } = world()
  const effects = feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  expect(calls(effects)).toEqual([0])
  const ended = feed({
    type: 'calls-ended',
    ended: [{ callId: callIdOf(state, 0), outcome: { status: 'done', value: value(7) }, ranMs: 1 }],
  })
  expect(only(ended, 'settle')).toHaveLength(1)
  expect(only(ended, 'settle')[0]?.outcomes[0]).toMatchObject({
    ref: { job, no: 0 },
    outcome: { status: 'done' },
  })
  expect(state.executor.jobs.get(job)?.held.size).toBe(0)
})

test('[TS2] step() passes the value of an input to its dependent', () => {
  const { state, feed } = world()
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0), spec(1, [need(0, 2)])] })
  expect(status(state, 1)).toBe('waiting')
  const effects = feed({
    type: 'calls-ended',
    ended: [{ callId: callIdOf(state, 0), outcome: { status: 'done', value: value(7) }, ranMs: 1 }],
  })
  const call = only(effects, 'execute')[0]?.calls[0]
  expect(call?.no).toBe(1)
  expect(call?.inputs).toEqual([{ index: 2, value: value(7) }])
})

test('[TS3] a failure ends all dependents at once, also those submitted later, and names its origin', () => {
  const { state, feed } = world()
  feed({
    type: 'tasks-submitted',
    job,
    name: 'j',
    specs: [spec(0), spec(1, [need(0)]), spec(2, [need(1)]), spec(3)],
  })
  feed({
    type: 'calls-ended',
    ended: [
      {
        callId: callIdOf(state, 0),
        outcome: { status: 'failed', error: errorRecord('X', 'Test') },
        ranMs: 1,
      },
    ],
  })
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(4, [need(2)])] })
  for (const no of [0, 1, 2, 4]) {
    expect(findTask(state, { job, no })?.outcome).toMatchObject({ status: 'failed', origin: { job, no: 0 } })
  }
  expect(status(state, 3)).toBe('assigned')
})

test('[TS4] a failing body runs 1 + retryMax times', () => {
  const { state, feed } = world()
  feed({
    type: 'tasks-submitted',
    job,
    name: 'j',
    specs: [spec(0, noNeeds, { retryMax: 2, retryBackoffMs: 50 })],
  })
  for (let execution = 1; execution <= 3; execution++) {
    const at = execution * 1000
    feed(
      {
        type: 'calls-ended',
        ended: [
          {
            callId: callIdOf(state, 0),
            outcome: { status: 'failed', error: errorRecord('X', 'Test') },
            ranMs: 1,
          },
        ],
      },
      at,
    )
    if (execution < 3) {
      expect(status(state, 0)).toBe('backoff')
      feed({ type: 'time-passed' }, at + 50)
    }
  }
  expect(findTask(state, { job, no: 0 })?.outcome).toMatchObject({ status: 'failed', attempts: 3 })
})

test('[TS5] cancelling a running task frees its slot and its late result is ignored', () => {
  const { state, feed } = world()
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  const callId = callIdOf(state, 0)
  const effects = feed({ type: 'tasks-cancelled', job, nos: [0], reason: 'enough' })
  expect(only(effects, 'abort-calls')[0]?.calls).toEqual([callId])
  expect(only(effects, 'settle')[0]?.outcomes[0]?.outcome).toEqual({ status: 'cancelled', reason: 'enough' })
  const late = feed({
    type: 'calls-ended',
    ended: [{ callId, outcome: { status: 'done', value: value(1) }, ranMs: 1 }],
  })
  expect(only(late, 'settle')).toEqual([])
  expect(calls(feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(1)] }))).toEqual([1])
})

test('[TS6] a task that ran while three processors died is quarantined', () => {
  const { state, feed } = world({ workers: 0 })
  const peers = ['p1', 'p2', 'p3'] as PeerId[]
  for (const peer of peers) join(feed, peer, 1)
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  for (const [death] of peers.entries()) {
    expect(status(state, 0)).toBe('assigned')
    const peer = findTask(state, { job, no: 0 })?.processor?.peer.id as PeerId
    feed({ type: 'peer-left', peer, cause: 'dead' }, death)
  }
  expect(findTask(state, { job, no: 0 })?.outcome).toMatchObject({
    status: 'failed',
    error: { code: 'E_TASK_POISON' },
  })
})

test('[TS6] a task that was lost runs alone, elsewhere', () => {
  const { state, feed } = world({ workers: 0 })
  for (const peer of ['p1', 'p2'] as PeerId[]) join(feed, peer, 1)
  feed({
    type: 'tasks-submitted',
    job,
    name: 'j',
    specs: Array.from({ length: 8 }, (_, no) => spec(no)),
  })
  const lost = findTask(state, { job, no: 0 })
  const first = lost?.processor
  const call = { type: 'results', job, epoch: 1, results: [] as AttemptResult[] } as const
  call.results.push({ no: 0, attempt: lost?.attempt ?? 0, outcome: { status: 'lost' }, ranMs: 1 })
  feed({ type: 'message-received', from: first?.peer.id as PeerId, message: call }, 10)

  const other = [...state.processors.values()].find((one) => one !== first)
  expect(lost).toMatchObject({ status: 'ready', losses: [{ processor: first?.record.id }] })
  expect(other?.guest).toBe(lost)
  const before = [...(other?.assigned ?? [])]
  for (const { spec: one, attempt } of before) {
    const results: AttemptResult[] = [
      { no: one.no, attempt, outcome: { status: 'done', value: value(1) }, ranMs: 1 },
    ]
    const message = { type: 'results', job, epoch: 1, results } as const
    feed({ type: 'message-received', from: other?.peer.id as PeerId, message }, 20)
  }
  expect(lost?.processor).toBe(other)
  expect(other?.assigned.size).toBe(1)
})

test('[TS6] an attempt that was lost and shows up again was no death by the task', () => {
  const { state, feed } = world({ workers: 0 })
  for (const peer of ['p1', 'p2'] as PeerId[]) join(feed, peer, 1)
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  const task = findTask(state, { job, no: 0 })
  const attempt = task?.attempt ?? 0
  const peer = task?.processor?.peer.id as PeerId
  feed({ type: 'peer-left', peer, cause: 'dead' }, 10)
  expect(task?.losses).toHaveLength(1)
  join(feed, peer, 1)
  const results: AttemptResult[] = [
    { no: 0, attempt, outcome: { status: 'done', value: value(1) }, ranMs: 1 },
  ]
  feed({ type: 'message-received', from: peer, message: { type: 'results', job, epoch: 1, results } }, 30)
  expect(task).toMatchObject({ status: 'assigned', losses: null })
})

test.each([
  { everyMs: 20_000, expected: 3 },
  { everyMs: 1000, expected: 6 },
])('[TS6] where another peer dies every $everyMs ms, $expected deaths tell', ({ everyMs, expected }) => {
  const { state, feed } = world({ workers: 0 })
  for (const peer of ['p1', 'p2', 'p3'] as PeerId[]) join(feed, peer, 1)
  const now = 60_000
  const losses = Array.from({ length: 6 }, (_, no) => ({
    processor: processorId('p1' as PeerId, 'worker', no),
    attempt: no,
    wasAlone: no > 0,
    at: now - 10_000 + no * 2000,
  }))
  const others = Array.from({ length: Math.floor(now / everyMs) }, (_, no) => no * everyMs)
  const tells = losses.findIndex((last, count) => {
    state.deathsAt = [
      ...others.filter((at) => at <= last.at),
      ...losses.slice(0, count + 1).map(({ at }) => at),
    ]
    return isPoison(state, losses.slice(0, count + 1))
  })
  expect(tells + 1).toBe(expected)
})

test('[PL1] equal tasks spread over idle peers', () => {
  const { state, feed } = world({ workers: 1 })
  const peers = ['p1', 'p2', 'p3'] as PeerId[]
  for (const peer of peers) join(feed, peer, 1)
  const effects = feed({
    type: 'tasks-submitted',
    job,
    name: 'j',
    specs: Array.from({ length: 16 }, (_, no) => spec(no)),
  })
  for (const peer of peers) expect(assignments(effects, peer)).toHaveLength(2)
  expect(state.processors.get(processorId(me, 'worker', 0))?.assigned.size).toBe(2)
})

test('[PL2] many tasks for one peer leave in one message', () => {
  const { feed } = world({ workers: 0 })
  join(feed, far, 2)
  const effects = feed({
    type: 'tasks-submitted',
    job,
    name: 'j',
    specs: Array.from({ length: 100 }, (_, no) => spec(no)),
  })
  expect(only(effects, 'send').filter((effect) => effect.message.type === 'assign')).toHaveLength(1)
})

test('[PL3] bodies that wait for tasks of their own leave their credit to those', () => {
  const { state, feed, ids } = world()
  const size = (): number => state.processors.get(ids[0] as never)?.assigned.size ?? 0
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  let no = 0
  // Far deeper than the credit of two tasks of unknown length: every level waits for the next.
  for (let depth = 0; depth < 8; depth++) {
    const callId = callIdOf(state, no)
    const attempt = state.executor.calls.get(callId)?.call.attempt as number
    const request = { seq: 0, operation, args: value(0), needs: noNeeds, options: defaultTaskOptions }
    feed({ type: 'children-spawned', job, parent: { no, attempt }, requests: [request] })
    feed({ type: 'body-yielded', callId })
    no = nestedBase + depth
    expect(status(state, no)).toBe('assigned')
  }
  expect(size()).toBe(9)
  expect(state.processors.get(ids[0] as never)).toMatchObject({ waiting: 8 })
  for (let depth = 8; depth >= 0; depth--) {
    const outcome = { status: 'done', value: value(1) } as const
    feed({ type: 'calls-ended', ended: [{ callId: callIdOf(state, no), outcome, ranMs: 1 }] })
    no = depth === 1 ? 0 : nestedBase + depth - 2
  }
  expect(size()).toBe(0)
  expect(state.processors.get(ids[0] as never)).toMatchObject({ waiting: 0, queuedMs: 0 })
})

test('[TS11] a task that a body spawns is run under the options of its parent, but for the name and its own', () => {
  const { state, feed } = world()
  const scope = { type: 'peer', peer: me } as const
  const options = { name: 'parent', priority: 3, retryMax: 2, scope }
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0, noNeeds, options)] })
  const attempt = state.executor.calls.get(callIdOf(state, 0))?.call.attempt as number
  const request = { operation, args: value(0), needs: noNeeds }
  const gpus = { type: 'kind', kind: 'webgpu' } as const
  const own = { ...defaultTaskOptions, name: 'own', priority: 9 }
  const elsewhere = { ...defaultTaskOptions, timeoutMs: 5, scope: gpus }
  feed({
    type: 'children-spawned',
    job,
    parent: { no: 0, attempt },
    requests: [
      { ...request, seq: 0, options: { ...defaultTaskOptions } },
      { ...request, seq: 1, options: own },
      { ...request, seq: 2, options: elsewhere },
    ],
  })
  const optionsOf = (seq: number) => findTask(state, { job, no: nestedBase + seq })?.spec.options
  expect(optionsOf(0)).toMatchObject({ name: null, priority: 3, retryMax: 2, scope })
  expect(optionsOf(1)).toEqual({ ...own, retryMax: 2, scope })
  // Within the peers of its parent.
  expect(optionsOf(2)).toMatchObject({
    priority: 3,
    timeoutMs: 5,
    scope: { type: 'intersect', scopes: [scope, gpus] },
  })
})

test('[CL1] the result of an attempt that was taken back is refused and acknowledged', () => {
  const { state, feed } = world({ workers: 0 })
  join(feed, far, 1)
  const [first] = assignments(feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] }), far)
  feed({ type: 'peer-left', peer: far, cause: 'dead' })
  expect(status(state, 0)).toBe('ready')
  join(feed, far, 1)
  const result = {
    no: 0,
    attempt: first?.attempt ?? -1,
    outcome: { status: 'done' as const, value: value(1) },
    ranMs: 1,
  }
  const effects = feed({
    type: 'message-received',
    from: far,
    message: { type: 'results', job, epoch: 1, results: [result] },
  })
  expect(status(state, 0)).toBe('assigned')
  expect(only(effects, 'send').map((effect) => effect.message.type)).toEqual(['commit'])
})

test('[CL2] the first successor claims at once, adopts what runs, and places the rest after the grace', () => {
  const { state, feed } = world({ isReplicated: true })
  join(feed, far, 1)
  feed({
    type: 'records-arrived',
    records: [
      { type: 'job', by: far, job, name: 'j' },
      { type: 'specs', job, specs: [spec(0), spec(1)] },
    ],
  })
  const helper = 'helper' as PeerId
  feed({ type: 'peer-joined', peer: helper, epoch: 1, role: 'contributor' })
  const processor = processorId(helper, 'worker', 0)
  feed({
    type: 'message-received',
    from: helper,
    message: {
      type: 'profile',
      wantsYours: true,
      profile: { name: 'h', processors: [{ id: processor, kind: 'worker', isDefault: true, score: 1 }] },
    },
  })
  feed({ type: 'peer-left', peer: far, cause: 'dead' }, 1_000)
  const claimed = feed({ type: 'time-passed' }, 1_000)
  expect(only(claimed, 'write')[0]?.records).toEqual([{ type: 'claim', by: me, job, epoch: 2 }])
  expect(only(claimed, 'send').map((effect) => [effect.to, effect.message.type])).toContainEqual([
    helper,
    'adopt',
  ])
  feed({
    type: 'message-received',
    from: helper,
    message: {
      type: 'holdings',
      job,
      epoch: 2,
      running: [{ no: 0, attempt: 5, processor }],
      results: [],
      unknown: [],
    },
  })
  expect(status(state, 0)).toBe('assigned')
  expect(status(state, 1)).toBe('waiting')
  feed({ type: 'time-passed' }, 1_350)
  expect(status(state, 1)).toBe('assigned')
  expect(findTask(state, { job, no: 0 })?.attempt).toBe(5)
})

test('[CL3] an owner that sees a newer claim stops and adopts nothing', () => {
  const { state, feed } = world({ isReplicated: true })
  feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] })
  join(feed, far, 1)
  feed({ type: 'records-arrived', records: [{ type: 'claim', by: far, job, epoch: 2 }] })
  expect(state.jobs.get(job)).toMatchObject({ isMine: false, claim: { peer: far, epoch: 2 } })
  expect(status(state, 0)).toBe('waiting')
})

test('[CL4] the lowest epoch decides an outcome that two owners wrote', () => {
  const { state, feed } = world({ isReplicated: true })
  feed({
    type: 'records-arrived',
    records: [
      { type: 'job', by: far, job, name: 'j' },
      { type: 'specs', job, specs: [spec(0)] },
      {
        type: 'outcomes',
        job,
        by: 'z' as PeerId,
        epoch: 2,
        outcomes: [{ no: 0, outcome: { status: 'done', value: value(2), processor: null } }],
      },
      {
        type: 'outcomes',
        job,
        by: far,
        epoch: 1,
        outcomes: [{ no: 0, outcome: { status: 'done', value: value(1), processor: null } }],
      },
      {
        type: 'outcomes',
        job,
        by: 'z' as PeerId,
        epoch: 2,
        outcomes: [{ no: 0, outcome: { status: 'done', value: value(2), processor: null } }],
      },
    ],
  })
  expect(findTask(state, { job, no: 0 })?.outcome).toMatchObject({ value: value(1) })
})

test('[CL8] a member that has just started hears the others before it claims what it kept', () => {
  const kept: Event = {
    type: 'records-arrived',
    at: 0,
    records: [
      { type: 'job', by: me, job, name: 'j' },
      { type: 'specs', job, specs: [spec(0)] },
    ],
  }
  const alone = world({ isReplicated: true })
  alone.feed(kept)
  for (const at of [1_000, 2_000, 3_000, 4_000]) alone.feed({ type: 'time-passed' }, at)
  expect(alone.state.jobs.get(job)?.isMine).toBe(false)
  alone.feed({ type: 'time-passed' }, 5_000)
  expect(alone.state.jobs.get(job)?.isMine).toBe(true)

  const met = world({ isReplicated: true })
  met.feed(kept)
  join(met.feed, far, 1)
  met.feed({ type: 'records-arrived', records: [{ type: 'claim', by: far, job, epoch: 2 }] }, 500)
  met.feed({ type: 'time-passed' }, 6_000)
  expect(met.state.jobs.get(job)).toMatchObject({ isMine: false, claim: { peer: far, epoch: 2 } })
})

test('[CL6] a member that lost all others at once waits before it claims their jobs', () => {
  const { state, feed } = world({ isReplicated: true })
  const other = 'other' as PeerId
  join(feed, far, 1)
  join(feed, other, 1)
  feed({
    type: 'records-arrived',
    records: [
      { type: 'job', by: far, job, name: 'j' },
      { type: 'specs', job, specs: [spec(0)] },
    ],
  })
  feed({ type: 'peer-left', peer: other, cause: 'dead' }, 100)
  feed({ type: 'peer-left', peer: far, cause: 'dead' }, 100)
  feed({ type: 'time-passed' }, 2000)
  expect(state.jobs.get(job)?.isMine).toBe(false)
  feed({ type: 'time-passed' }, 7200)
  expect(state.jobs.get(job)?.isMine).toBe(true)
})

test.each([
  ['its timers are late', 6_000, 'time-passed'],
  ['others gave it up', 1_000, 'peer-left'],
] as const)('[CL7] an owner writes down nothing for 1.5 s when %s', (_, at, type) => {
  const other = 'other' as PeerId
  const { state, feed } = world({ workers: 0 })
  join(feed, far, 1)
  join(feed, other, 0)
  const [task] = assignments(feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] }), far)
  const results = [
    { no: 0, attempt: task?.attempt ?? -1, outcome: { status: 'done' as const, value: value(1) }, ranMs: 1 },
  ]
  const tell = (now: number): Effect[] =>
    feed({ type: 'message-received', from: far, message: { type: 'results', job, epoch: 1, results } }, now)
  feed(type === 'peer-left' ? { type, peer: other, cause: 'fenced' } : { type }, at)
  expect(only(tell(at + 1), 'send').filter(({ message }) => message.type === 'commit')).toEqual([])
  expect(status(state, 0)).toBe('assigned')
  tell(at + 1_500)
  expect(status(state, 0)).toBe('done')
})

test('[ST1] an idle peer gets the unstarted tasks of a loaded one', () => {
  const { state, feed } = world({ workers: 0 })
  join(feed, far, 1)
  const [, second] = assignments(
    feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0), spec(1)] }),
    far,
  )
  const effects = join(feed, 'idle' as PeerId, 1)
  const revokes = only(effects, 'send').filter((effect) => effect.message.type === 'revoke')
  expect(revokes.map((effect) => effect.to)).toEqual([far])
  const given = { no: 1, attempt: second?.attempt ?? -1 }
  const stolen = feed({
    type: 'message-received',
    from: far,
    message: { type: 'revoked', job, epoch: 1, attempts: [given] },
  })
  expect(assignments(stolen, 'idle' as PeerId).map((task) => task.no)).toEqual([1])
  expect(status(state, 0)).toBe('assigned')
})

test('[RC7] what started at a processor that is no longer lent ends there, and only what is handed back moves', () => {
  const { state, feed } = world({ workers: 0 })
  join(feed, far, 1)
  const given = assignments(
    feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0), spec(1), spec(2)] }),
    far,
  )
  expect(given.map(({ no }) => no)).toEqual([0, 1])
  const profile = { name: far, processors: [] }
  const closed = feed({
    type: 'message-received',
    from: far,
    message: { type: 'profile', profile, wantsYours: false },
  })
  expect([...assignments(closed, far), ...assignments(join(feed, 'idle' as PeerId, 1), far)]).toEqual([])
  expect([status(state, 0), status(state, 1)]).toEqual(['assigned', 'assigned'])
  const results = given.map(({ no, attempt }) => {
    const outcome = no === 0 ? { status: 'done' as const, value: value(1) } : { status: 'refused' as const }
    return { no, attempt, outcome, ranMs: 1 }
  })
  feed({ type: 'message-received', from: far, message: { type: 'results', job, epoch: 1, results } })
  expect(status(state, 0)).toBe('done')
  expect(findTask(state, { job, no: 1 })?.processor?.peer.id).toBe('idle')
  expect([...state.processors.values()].map(({ peer }) => peer.id)).toEqual(['idle'])
})

test('[RC7] a peer that lends nothing any more hands back what it has not started, once', () => {
  const { state, feed, ids } = world()
  join(feed, far, 0)
  const tasks = [0, 1].map((no): Assignment => {
    const args = value(no)
    return {
      no,
      attempt: 10 + no,
      processor: ids[0] as ProcessorId,
      operation,
      args,
      inputs: [],
      timeoutMs: 1,
    }
  })
  feed({ type: 'message-received', from: far, message: { type: 'assign', job, epoch: 1, tasks } })
  const told = (effects: readonly Effect[]): unknown[] =>
    only(effects, 'send').flatMap(({ message }) =>
      message.type === 'results' ? message.results.map(({ no, outcome }) => [no, outcome.status]) : [],
    )
  expect(told(feed({ type: 'processors-changed', processors: [] }))).toEqual([[1, 'refused']])
  const outcome = { status: 'done' as const, value: value(1) }
  const ended = [{ callId: callIdOf(state, 0), outcome, ranMs: 1 }]
  expect(told(feed({ type: 'calls-ended', ended }))).toEqual([[0, 'done']])
})

test('[RC6] an attempt that the other side does not know is placed again', () => {
  const { feed } = world({ workers: 0 })
  join(feed, far, 1)
  const [first] = assignments(feed({ type: 'tasks-submitted', job, name: 'j', specs: [spec(0)] }), far)
  const audit = feed({ type: 'time-passed' }, 2000)
  const [sent] = only(audit, 'send').filter((effect) => effect.message.type === 'audit')
  expect(sent?.message).toMatchObject({ attempts: [{ no: 0, attempt: first?.attempt }] })
  const unknown = [{ no: 0, attempt: first?.attempt ?? -1 }]
  const again = feed({
    type: 'message-received',
    from: far,
    message: { type: 'holdings', job, epoch: 1, running: [], results: [], unknown },
  })
  expect(assignments(again, far)[0]?.attempt).not.toBe(first?.attempt)
})

test('[DU1] step() takes no profile of its own earlier start for what it lends now', () => {
  const { state, feed } = world({ workers: 1, isReplicated: true })
  const processors = [...state.processors.keys()]
  const profile = {
    name: 'me before',
    processors: [{ id: processorId(me, 'worker', 7), kind: 'worker', isDefault: true, score: 1 }],
  }
  feed({ type: 'records-arrived', records: [{ type: 'profile', by: me, profile }] })
  expect([...state.processors.keys()]).toEqual(processors)
  expect(state.peers.get(me)?.profile.name).not.toBe('me before')
})
