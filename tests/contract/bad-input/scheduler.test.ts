import {
  defaultTaskOptions,
  type JobId,
  type Need,
  nestedBase,
  noNeeds,
  type OperationHash,
  type Outcome,
  PackedPayload,
  type PeerId,
  processorId,
  type TaskSpec,
} from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { defaultConfig } from '../../../packages/scheduler/src/core/config.ts'
import type { Effect } from '../../../packages/scheduler/src/core/effects.ts'
import type { Event } from '../../../packages/scheduler/src/core/events.ts'
import { assertInvariants } from '../../../packages/scheduler/src/core/invariants.ts'
import { createState, findTask, type SchedulerState } from '../../../packages/scheduler/src/core/state.ts'
import { step } from '../../../packages/scheduler/src/core/step.ts'
import type { Message, MessageOf, SpawnRequest } from '../../../packages/scheduler/src/model/message.ts'

const me = 'me' as PeerId
const far = 'far' as PeerId
const other = 'other' as PeerId
const job = 'job' as JobId
const operation = 'hash#default' as OperationHash
const value = (n: number): PackedPayload => new PackedPayload(Uint8Array.of(n))
const need = (no: number): Need => ({ index: 0, task: { job, no } })
const spec = (no: number, needs: readonly Need[] = noNeeds): TaskSpec => {
  return { no, operation, args: value(no & 255), needs, options: defaultTaskOptions, parent: null }
}

/** The core of a member, with two other peers that say what they like. */
class Bench {
  readonly state: SchedulerState
  readonly effects: Effect[] = []
  #at = 0

  constructor(workers = 1) {
    this.state = createState({ self: me, epoch: 1, role: 'member', name: 'me', isReplicated: false })
    const processors = (peer: PeerId, count: number) =>
      Array.from({ length: count }, (_, i) => ({
        id: processorId(peer, 'worker', i),
        kind: 'worker',
        isDefault: true,
        score: 1,
      }))
    for (const peer of [far, other]) {
      this.feed({ type: 'peer-joined', peer, epoch: 1, role: 'member' })
      const profile = { name: peer, processors: processors(peer, peer === far ? workers : 0) }
      this.hear(peer, { type: 'profile', profile, wantsYours: false })
    }
  }

  feed(
    event: { [K in Event['type']]: Omit<Extract<Event, { type: K }>, 'at'> }[Event['type']],
    at = this.#at,
  ): void {
    this.#at = at
    this.effects.push(...step(this.state, { ...event, at } as Event))
    assertInvariants(this.state)
  }

  /** In small steps: a peer whose time jumps takes itself for one that slept. */
  wait(ms: number): void {
    const end = this.#at + ms
    while (this.#at < end) this.feed({ type: 'time-passed' }, Math.min(end, this.#at + 100))
  }

  hear(from: PeerId, message: Message): void {
    this.feed({ type: 'message-received', from, message })
  }

  submit(...specs: readonly TaskSpec[]): void {
    this.feed({ type: 'tasks-submitted', job, name: 'j', specs })
  }

  outcome(no: number): Outcome | null {
    return findTask(this.state, { job, no })?.outcome ?? null
  }

  code(no: number): string | null {
    const outcome = this.outcome(no)
    return outcome?.status === 'failed' ? outcome.error.code : (outcome?.status ?? null)
  }

  attempt(no: number): number {
    return findTask(this.state, { job, no })?.attempt ?? -1
  }

  /** A result for a task, as an executing peer would send it. */
  result(from: PeerId, no: number, attempt: number, n = 7): void {
    const outcome = { status: 'done' as const, value: value(n) }
    this.hear(from, { type: 'results', job, epoch: 1, results: [{ no, attempt, outcome, ranMs: 1 }] })
  }

  /** A body's request for tasks. */
  spawn(from: PeerId, no: number, requests: readonly SpawnRequest[]): readonly number[] {
    const before = this.effects.length
    this.hear(from, { type: 'submit', job, parent: { no, attempt: this.attempt(no) }, requests })
    const answers = this.effects
      .slice(before)
      .flatMap((effect) => (effect.type === 'send' ? [effect.message] : []))
    const accepted = answers.filter((one): one is MessageOf<'submitted'> => one.type === 'submitted')
    return accepted.flatMap((one) => one.accepted.map((entry) => entry.no))
  }

  story(no: number): string {
    return this.state.story.of(findTask(this.state, { job, no })).join('\n')
  }

  /** The next good task runs. */
  goesOn(no = 900): void {
    this.submit(spec(no))
    this.result(far, no, this.attempt(no))
    expect(this.code(no)).toBe('done')
  }
}

const request = (seq: number, n = seq): SpawnRequest => {
  return { seq, operation, args: value(n & 255), needs: noNeeds, options: defaultTaskOptions }
}

describe('the scheduler refuses, goes on, and runs the next good task', () => {
  test('[48] tasks that need each other: E_CYCLE for all, at once', () => {
    const rows: readonly (readonly TaskSpec[][])[] = [
      [[spec(0, [need(0)])]],
      [[spec(0, [need(1)]), spec(1, [need(2)]), spec(2, [need(0)]), spec(3, [need(2)])]],
      [[spec(0, [need(1)])], [spec(1, [need(0)])]],
    ]
    for (const batches of rows) {
      const bench = new Bench()
      for (const batch of batches) bench.submit(...batch)
      for (const { no } of batches.flat()) expect(bench.code(no)).toBe('E_CYCLE')
      bench.goesOn()
    }
    const bench = new Bench()
    bench.submit(spec(0, [need(1)]), spec(1))
    expect(bench.code(0)).toBeNull()
    bench.result(far, 1, bench.attempt(1))
    bench.result(far, 0, bench.attempt(0))
    expect(bench.code(0)).toBe('done')
  })

  test('[49] an input that nobody knows: E_NO_DEP after the wait', () => {
    const bench = new Bench()
    bench.submit(spec(0, [need(77)]))
    expect(bench.code(0)).toBeNull()
    bench.wait(defaultConfig.noProcessorMs + 1)
    expect(bench.code(0)).toBe('E_NO_DEP')
    bench.goesOn()
  })

  test('[50] two different tasks under one number of a body: E_ID_REUSED; the same one twice is one', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    const [no] = bench.spawn(far, 0, [request(5)])
    expect(bench.spawn(far, 0, [request(5)])).toEqual([no])
    expect(bench.spawn(far, 0, [request(5, 6)])).toEqual([])
    expect(bench.code(0)).toBe('E_ID_REUSED')
    expect(bench.code(no as number)).toBe('cancelled')
    bench.goesOn()
  })

  test('[51] a result from a peer that was not asked: E_NOT_ASSIGNED in the story, and no outcome', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    bench.result(other, 0, bench.attempt(0))
    expect(bench.code(0)).toBeNull()
    expect(bench.story(0)).toContain('(E_NOT_ASSIGNED) from other')
    bench.result(far, 0, bench.attempt(0))
    expect(bench.code(0)).toBe('done')
    bench.goesOn()
  })

  test('[52] a result of an attempt that is over: E_EPOCH_STALE in the story', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    const old = bench.attempt(0)
    bench.feed({ type: 'peer-left', peer: far, cause: 'dead' })
    bench.feed({ type: 'peer-joined', peer: far, epoch: 2, role: 'member' })
    bench.result(far, 0, old)
    expect(bench.code(0)).toBeNull()
    expect(bench.story(0)).toContain('(E_EPOCH_STALE) from far')
    const processors = [{ id: processorId(far, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
    bench.hear(far, { type: 'profile', profile: { name: 'far', processors }, wantsYours: false })
    bench.goesOn()
  })

  test('[53] a result after the end: E_ALREADY_DONE in the story, and the outcome stays', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    const attempt = bench.attempt(0)
    bench.result(far, 0, attempt, 1)
    const first = bench.outcome(0)
    bench.result(far, 0, attempt, 2)
    expect(bench.outcome(0)).toBe(first)
    expect(bench.story(0)).toContain('(E_ALREADY_DONE) from far')
    bench.goesOn()
  })

  test('[59] a task that ran when three processors died: E_TASK_POISON', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    for (let death = 0; death < defaultConfig.poisonLimit; death++) {
      const attempt = bench.attempt(0)
      const lost = { no: 0, attempt, outcome: { status: 'lost' as const }, ranMs: 1 }
      bench.hear(far, { type: 'results', job, epoch: 1, results: [lost] })
    }
    expect(bench.code(0)).toBe('E_TASK_POISON')
    bench.goesOn()
  })

  test('[62] more than 10,000 tasks of one body: E_LIMIT, its tasks are cancelled', () => {
    const bench = new Bench()
    bench.submit(spec(0))
    for (let seq = 0; seq < defaultConfig.childrenMax; seq += 1000) {
      bench.spawn(
        far,
        0,
        Array.from({ length: 1000 }, (_, i) => request(seq + i)),
      )
    }
    expect(bench.code(0)).toBeNull()
    bench.spawn(far, 0, [request(defaultConfig.childrenMax)])
    expect(bench.code(0)).toBe('E_LIMIT')
    expect(bench.code(nestedBase + 1)).not.toBe('E_LIMIT')
    expect(bench.state.jobs.get(job)?.cancelled).toBe(defaultConfig.childrenMax)
    bench.goesOn()
  })

  test('[62] a body that spawns itself more than 64 deep: E_LIMIT', () => {
    const bench = new Bench(defaultConfig.depthMax + 2)
    bench.submit(spec(0))
    let no = 0
    for (let depth = 1; depth <= defaultConfig.depthMax; depth++) {
      const peer = findTask(bench.state, { job, no })?.processor?.peer.id as PeerId
      const [child] = bench.spawn(peer, no, [request(0)])
      expect(child).toBeDefined()
      no = child as number
    }
    const peer = findTask(bench.state, { job, no })?.processor?.peer.id as PeerId
    expect(bench.spawn(peer, no, [request(0)])).toEqual([])
    expect(bench.code(no)).toBe('E_LIMIT')
    bench.goesOn()
  })

  test('[71] how a task ended is not known, and its owner and everybody who knew are gone: E_OWNER_LOST', () => {
    const bench = new Bench()
    const theirs = 'theirs' as JobId
    const child = { ...spec(nestedBase), parent: { no: 0, attempt: 1, seq: 0 } }
    const done = { status: 'done', value: value(1), processor: null } as const
    bench.feed({
      type: 'records-arrived',
      records: [
        { type: 'job', by: far, job: theirs, name: 'theirs' },
        { type: 'specs', job: theirs, specs: [spec(0), child] },
        { type: 'outcomes', by: far, epoch: 1, job: theirs, outcomes: [{ no: 0, outcome: done }] },
      ],
    })
    bench.feed({ type: 'tasks-watched', refs: [{ job: theirs, no: nestedBase }] })
    bench.feed({ type: 'peer-left', peer: far, cause: 'dead' })
    bench.feed({ type: 'records-arrived', records: [{ type: 'ended', by: other, job: theirs }] })
    bench.wait(defaultConfig.lingerMs + 1_000)
    const settled = bench.effects.flatMap((effect) => (effect.type === 'settle' ? effect.outcomes : []))
    const codes = settled.flatMap(({ ref, outcome }) =>
      ref.no === nestedBase && outcome.status === 'failed' ? [outcome.error.code] : [],
    )
    expect(codes).toEqual(['E_OWNER_LOST'])
  })

  test('[72] no processor in scope: E_NO_PROCESSOR after the wait', () => {
    const bench = new Bench()
    bench.submit({ ...spec(0), options: { ...defaultTaskOptions, scope: { type: 'kind', kind: 'gpu' } } })
    expect(bench.code(0)).toBeNull()
    bench.wait(defaultConfig.noProcessorMs + 1)
    expect(bench.code(0)).toBe('E_NO_PROCESSOR')
    bench.goesOn()
  })
})
