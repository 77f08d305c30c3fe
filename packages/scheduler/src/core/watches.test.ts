import { expect, test } from 'vitest'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import { defaultTaskOptions, noNeeds } from '../model/task.ts'
import { defaultConfig } from './config.ts'
import type { Effect } from './effects.ts'
import type { Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { createState } from './state.ts'
import { step } from './step.ts'

const me = 'me' as PeerId
const far = 'far' as PeerId
const job = 'job' as JobId
const value = new PackedPayload(Uint8Array.of(1))
const { lingerMs } = defaultConfig

/** A member with one worker. */
function world() {
  const state = createState({ self: me, epoch: 1, role: 'member', name: 'me', isReplicated: true })
  const feed = (event: Event): Effect[] => {
    const effects = step(state, event)
    assertInvariants(state)
    return effects
  }
  const processors = [{ id: processorId(me, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
  feed({ type: 'processors-changed', at: 0, processors })
  return { state, feed, watch: (at: number, no = 0) => endsOf(feed(watched(at, no))) }
}

function watched(at: number, no: number): Event {
  return { type: 'tasks-watched', at, refs: [{ job, no }] }
}

/** How watched tasks ended: number and code, or `done`. */
function endsOf(effects: readonly Effect[]): unknown[] {
  return effects.flatMap((effect) =>
    effect.type !== 'settle'
      ? []
      : effect.outcomes.map(({ ref, outcome }) => [
          ref.no,
          outcome.status === 'failed' ? outcome.error.code : outcome.status,
        ]),
  )
}

/** Runs one task of the job, which ends 1 ms later. */
function runJob({ feed }: ReturnType<typeof world>, at = 0): Effect[] {
  const operation = 'hash#default' as OperationHash
  const spec = { no: 0, operation, args: value, needs: noNeeds, options: defaultTaskOptions, parent: null }
  const effects = feed({ type: 'tasks-submitted', at, job, name: 'j', specs: [spec] })
  const [call] = effects.flatMap((effect) => (effect.type === 'execute' ? effect.calls : []))
  feed({ type: 'job-sealed', at, job })
  const outcome = { status: 'done' as const, value }
  const ended = [{ callId: call?.callId as number, outcome, ranMs: 1 }]
  return feed({ type: 'calls-ended', at: at + 1, ended })
}

test('[RC4] a task can be watched until its job is forgotten; then it fails, and says so', () => {
  const room = world()
  runJob(room)
  expect(room.watch(lingerMs)).toEqual([[0, 'done']])
  room.feed({ type: 'time-passed', at: lingerMs + 1 })
  expect(room.watch(lingerMs + 2)).toEqual([[0, 'E_NO_TASK']])
})

test('[RC4] a number that its job never had fails when the job is forgotten', () => {
  const room = world()
  runJob(room)
  expect(room.watch(2, 7)).toEqual([])
  expect(endsOf(room.feed({ type: 'time-passed', at: lingerMs + 1 }))).toEqual([[7, 'E_NO_TASK']])
})

test('[RC4] a task of a job that nobody tells of fails after 60 s', () => {
  const room = world()
  expect(room.watch(10)).toEqual([])
  expect(endsOf(room.feed({ type: 'time-passed', at: lingerMs + 9 }))).toEqual([])
  expect(endsOf(room.feed({ type: 'time-passed', at: lingerMs + 10 }))).toEqual([[0, 'E_NO_TASK']])
  expect(room.state.foreignWatches.size).toBe(0)
})

test('[RC4] a job that comes late is no unknown one', () => {
  const room = world()
  room.watch(0)
  expect(endsOf(runJob(room, lingerMs - 2))).toEqual([[0, 'done']])
  expect(endsOf(room.feed({ type: 'time-passed', at: lingerMs }))).toEqual([])
})

test('[RC4] a peer that forgot a job says so to whoever watches a task of it', () => {
  const room = world()
  runJob(room)
  room.feed({ type: 'peer-joined', at: 2, peer: far, epoch: 1, role: 'contributor' })
  room.feed({ type: 'time-passed', at: lingerMs + 1 })
  const message = { type: 'watch' as const, job, nos: [0] }
  const effects = room.feed({ type: 'message-received', at: lingerMs + 2, from: far, message })
  const sent = effects.flatMap((effect) => (effect.type === 'send' ? [effect.message] : []))
  expect(sent).toMatchObject([
    { type: 'outcomes', job, outcomes: [{ no: 0, outcome: { error: { code: 'E_NO_TASK' } } }] },
  ])
})
