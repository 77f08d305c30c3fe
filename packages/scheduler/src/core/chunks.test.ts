import { expect, test } from 'vitest'
import { type ChunkId, ChunkPayload, chunkId } from '../model/chunk.ts'
import { errorRecord } from '../model/errors.ts'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import type { AttemptOutcome, Message } from '../model/message.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import type { ReplicatedRecord } from '../model/records.ts'
import { type ChunkNeed, defaultTaskOptions, type Need, noNeeds, type TaskSpec } from '../model/task.ts'
import type { Call, Effect } from './effects.ts'
import type { Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { createState, findTask, type SchedulerState } from './state.ts'
import { step } from './step.ts'

const job = 'job' as JobId
const operation = 'hash#default' as OperationHash
const [a, b, c] = ['a', 'b', 'c'] as [PeerId, PeerId, PeerId]
const big = 1_000_000

type Untimed = { [K in Event['type']]: Omit<Extract<Event, { type: K }>, 'at'> }[Event['type']]

function chunk(home: PeerId, n: number, no: number | null = null, sizeBytes = big): ChunkPayload {
  const hash = new Uint8Array(32).fill(n)
  const task = no === null ? null : { job, no }
  return new ChunkPayload({ id: chunkId(home, 1, n), sizeBytes, hash, home }, task, [home])
}

function spec(
  no: number,
  more: { needs?: readonly Need[]; chunks?: readonly ChunkNeed[]; peer?: PeerId } = {},
) {
  const { needs = noNeeds, chunks, peer } = more
  const options =
    peer === undefined
      ? defaultTaskOptions
      : { ...defaultTaskOptions, scope: { type: 'peer', peer } as const }
  const plain: TaskSpec = {
    no,
    operation,
    args: new PackedPayload(Uint8Array.of(no)),
    needs,
    options,
    parent: null,
  }
  return chunks === undefined ? plain : { ...plain, chunks }
}

/** Schedulers that hear each other, with stores that hold what they are given. Messages wait while `isHeld`. */
function room(ids: readonly PeerId[]) {
  let at = 0
  const states = new Map<PeerId, SchedulerState>()
  const stores = new Map<PeerId, Set<ChunkId>>()
  const running: { peer: PeerId; call: Call }[] = []
  const told: { peer: PeerId; effect: Effect }[] = []
  const post: { from: PeerId; to: PeerId; message: Message }[] = []
  const records: ReplicatedRecord[] = []

  const feed = (peer: PeerId, event: Untimed): void => {
    const state = states.get(peer)
    if (state === undefined) return
    const effects = step(state, { ...event, at } as Event)
    assertInvariants(state)
    for (const effect of effects) perform(peer, effect)
  }
  const perform = (peer: PeerId, effect: Effect): void => {
    told.push({ peer, effect })
    if (effect.type === 'send') post.push({ from: peer, to: effect.to, message: effect.message })
    if (effect.type === 'execute') for (const call of effect.calls) running.push({ peer, call })
    if (effect.type === 'drop-chunk' && stores.get(peer)?.delete(effect.chunk))
      feed(peer, { type: 'chunk-stored', chunk: effect.chunk, isHeld: false })
    if (effect.type === 'write') {
      records.push(...effect.records)
      for (const other of states.keys())
        if (other !== peer) feed(other, { type: 'records-arrived', records: effect.records })
    }
    if (effect.type === 'gather') {
      const missing = effect.chunks.find(
        ({ ref, holders }) =>
          ![peer, ...holders].some((holder) => stores.get(holder)?.has(ref.id) && states.has(holder)),
      )
      for (const { ref } of missing === undefined ? effect.chunks : []) store(peer, ref.id)
      const error = missing === undefined ? null : errorRecord('E_CHUNK_LOST', 'nobody has it')
      feed(peer, { type: 'chunks-gathered', callId: effect.callId, error })
    }
  }
  const store = (peer: PeerId, id: ChunkId): void => {
    stores.get(peer)?.add(id)
    feed(peer, { type: 'chunk-stored', chunk: id, isHeld: true })
  }
  const deliver = (): void => {
    for (let next = post.shift(); next !== undefined; next = post.shift()) {
      if (states.has(next.from))
        feed(next.to, { type: 'message-received', from: next.from, message: next.message })
    }
  }
  for (const id of ids) {
    states.set(id, createState({ self: id, epoch: 1, role: 'member', name: id, isReplicated: true }))
    stores.set(id, new Set())
  }
  for (const id of ids) {
    const processors = [{ id: processorId(id, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
    feed(id, { type: 'processors-changed', processors })
    for (const peer of ids) if (peer !== id) feed(id, { type: 'peer-joined', peer, epoch: 1, role: 'member' })
  }
  deliver()
  const api = {
    told,
    running,
    records,
    state: (peer: PeerId) => states.get(peer) as SchedulerState,
    has: (peer: PeerId, payload: ChunkPayload) => stores.get(peer)?.has(payload.ref.id) === true,
    feed(peer: PeerId, event: Untimed) {
      feed(peer, event)
      deliver()
    },
    /** Only told, not delivered. */
    hold: feed,
    deliver,
    post,
    submit: (peer: PeerId, ...specs: TaskSpec[]) =>
      api.feed(peer, { type: 'tasks-submitted', job, name: 'job', specs }),
    put(peer: PeerId, payload: ChunkPayload) {
      store(peer, payload.ref.id)
      api.feed(peer, { type: 'chunk-opened', chunk: payload })
    },
    runs: (no: number) => running.find(({ call }) => call.no === no)?.peer,
    /** Ends the oldest call of that number that runs. */
    end(
      no: number,
      value: ChunkPayload | AttemptOutcome = { status: 'done', value: new PackedPayload(Uint8Array.of(no)) },
    ) {
      const index = running.findIndex(({ call }) => call.no === no)
      const [{ peer, call }] = running.splice(index, 1) as [{ peer: PeerId; call: Call }]
      if (value instanceof ChunkPayload) store(peer, value.ref.id)
      const outcome: AttemptOutcome = value instanceof ChunkPayload ? { status: 'done', value } : value
      api.feed(peer, { type: 'calls-ended', ended: [{ callId: call.callId, outcome, ranMs: 1 }] })
      return call
    },
    later(ms: number) {
      at += ms
      for (const peer of states.keys()) feed(peer, { type: 'time-passed' })
      deliver()
    },
    kill(peer: PeerId) {
      states.delete(peer)
      for (let index = running.length - 1; index >= 0; index--)
        if (running[index]?.peer === peer) running.splice(index, 1)
      for (const other of states.keys()) feed(other, { type: 'peer-left', peer, cause: 'dead' })
      deliver()
    },
    drops: (peer: PeerId, payload: ChunkPayload) =>
      told.filter(
        (one) => one.peer === peer && one.effect.type === 'drop-chunk' && one.effect.chunk === payload.ref.id,
      ).length,
    outcome: (peer: PeerId, no: number) => findTask(states.get(peer) as SchedulerState, { job, no })?.outcome,
  }
  return api
}

test('[CH7] a big result stays where it was made: its consumer is told who has it, and has it then, too', () => {
  const world = room([a, b, c])
  const made = chunk(b, 1, 0)
  world.submit(a, spec(0, { peer: b }), spec(1, { peer: c, needs: [{ index: 0, task: { job, no: 0 } }] }))
  world.end(0, made)
  expect(world.running[0]?.call.inputs).toMatchObject([{ index: 0, value: { ref: made.ref, holders: [b] } }])
  world.end(1)
  expect([...(world.state(a).chunks.get(made.ref.id)?.holders.keys() ?? [])]).toEqual([b, c])
  expect(world.has(a, made)).toBe(false)
})

test('[PL1] a task runs where its bytes are, also when it has to wait there; many spread', () => {
  const world = room([a, b, c])
  const table = chunk(b, 1, null, 64_000_000)
  world.put(b, table)
  world.submit(b, ...[0, 1, 2, 3].map((no) => spec(no, { chunks: [{ index: 0, chunk: table }] })))
  expect(world.running.map(({ peer }) => peer)).toEqual([b])
  for (const no of [0, 1, 2, 3]) {
    expect(world.runs(no)).toBe(b)
    world.end(no)
  }
  // As long a run as a move.
  world.state(b).estimates.clear()
  const small = chunk(b, 2, null, 100_000)
  world.put(b, small)
  world.submit(
    b,
    ...Array.from({ length: 16 }, (_, at) => spec(10 + at, { chunks: [{ index: 0, chunk: small }] })),
  )
  expect([a, b, c].map((peer) => world.running.some((one) => one.peer === peer))).toEqual([true, true, true])
})

test('[CH8] [A6] a handle that is handed on with a task and released at once keeps its chunk until that task has ended', () => {
  const world = room([a, b, c])
  const table = chunk(a, 1)
  world.put(a, table)
  world.hold(a, {
    type: 'tasks-submitted',
    job,
    name: 'job',
    specs: [spec(0, { peer: b, chunks: [{ index: -1, chunk: table }] })],
  })
  world.hold(a, { type: 'chunk-released', chunk: table.ref.id })
  expect(world.has(a, table)).toBe(true)
  world.deliver()
  // The body on b reads it.
  world.feed(b, { type: 'chunk-opened', chunk: table })
  world.feed(b, { type: 'chunk-asked', chunk: table, isAgain: false })
  expect(world.told).toContainEqual({
    peer: b,
    effect: { type: 'chunk-located', chunk: table.ref.id, holders: [a], error: null },
  })
  world.end(0)
  expect(world.drops(a, table)).toBe(0)
  world.feed(b, { type: 'chunk-released', chunk: table.ref.id })
  expect(world.drops(a, table)).toBe(1)
  expect(world.state(a).chunks.size).toBe(0)
})

test('[CH8] a lost release is repeated; a peer that is killed with a handle holds nothing', () => {
  const world = room([a, b, c])
  const [one, two] = [chunk(a, 1), chunk(a, 2)]
  for (const table of [one, two]) {
    world.put(a, table)
    world.feed(b, { type: 'chunk-opened', chunk: table })
    world.feed(a, { type: 'chunk-released', chunk: table.ref.id })
    expect(world.has(a, table)).toBe(true)
  }
  world.hold(b, { type: 'chunk-released', chunk: one.ref.id })
  world.post.length = 0
  world.later(4000)
  world.later(4000)
  expect([world.has(a, one), world.has(a, two)]).toEqual([false, true])
  world.kill(b)
  expect(world.has(a, two)).toBe(false)
  expect([one, two].map((table) => world.drops(a, table))).toEqual([1, 1])
})

test('[CH9] copies go when their job is forgotten and nobody has a handle', () => {
  const world = room([a, b, c])
  const made = chunk(b, 1, 0)
  world.submit(a, spec(0, { peer: b }), spec(1, { peer: c, needs: [{ index: 0, task: { job, no: 0 } }] }))
  world.end(0, made)
  world.feed(a, { type: 'chunk-opened', chunk: made })
  world.end(1)
  world.feed(a, { type: 'job-sealed', job })
  world.later(61_000)
  expect([world.has(b, made), world.has(c, made)]).toEqual([true, true])
  world.feed(a, { type: 'chunk-released', chunk: made.ref.id })
  expect([world.has(b, made), world.has(c, made)]).toEqual([false, false])
  for (const peer of [a, b, c]) expect(world.state(peer).chunks.size + world.state(peer).kept.size).toBe(0)
})

test('[CH9] a successor learns the copies, frees none that count, and an orphan goes', () => {
  const world = room([a, b, c])
  const made = chunk(b, 1, 0)
  world.submit(a, spec(0, { peer: b }), spec(1, { needs: [{ index: 0, task: { job, no: 0 } }] }))
  world.end(0, made)
  world.kill(a)
  for (let round = 0; round < 5; round++) world.later(1000)
  expect(world.has(b, made)).toBe(true)
  const owner = [b, c].find((peer) => world.state(peer).jobs.get(job)?.isMine) as PeerId
  expect([...(world.state(owner).chunks.get(made.ref.id)?.holders.keys() ?? [])]).toContain(b)
  expect(world.outcome(owner, 0)).toMatchObject({ status: 'done', value: { ref: made.ref } })
})

test('[CH10] a lost chunk that is needed is made again by its task, and what that needs before it', () => {
  const world = room([a, b, c])
  const scope = { type: 'union', scopes: [b, c].map((peer) => ({ type: 'peer', peer }) as const) } as const
  const options = { ...defaultTaskOptions, scope }
  world.submit(
    a,
    { ...spec(0), options },
    { ...spec(1, { needs: [{ index: 0, task: { job, no: 0 } }] }), options },
  )
  const home = world.runs(0) as PeerId
  const [one, two] = [chunk(home, 1, 0), chunk(home, 2, 1)]
  world.end(0, one)
  expect(world.runs(1)).toBe(home)
  world.end(1, two)
  const before = [0, 1].map((no) => world.outcome(a, no))
  world.kill(home)
  expect(world.running).toEqual([])
  world.submit(a, spec(2, { needs: [{ index: 0, task: { job, no: 1 } }] }))
  expect(world.running.map(({ call }) => call.no)).toEqual([0])
  expect(world.end(0, one).remakes).toBe(one.ref.id)
  expect(world.end(1, two).remakes).toBe(two.ref.id)
  expect(world.runs(2)).toBeDefined()
  expect([0, 1].map((no) => world.outcome(a, no))).toEqual(before)
  expect(world.state(a).jobs.get(job)).toMatchObject({ total: 3, done: 2 })
  world.end(2)
  expect(world.outcome(a, 2)).toMatchObject({ status: 'done' })
})

test('[CH10] a task that gives another value the second time loses its chunk for good', () => {
  const world = room([a, b, c])
  const made = chunk(b, 1, 0)
  world.submit(a, spec(0, { peer: b }))
  const scoped = world.end(0, made)
  expect(scoped.remakes).toBeUndefined()
  world.feed(a, { type: 'chunk-stored', chunk: made.ref.id, isHeld: false })
  world.state(a).chunks.get(made.ref.id)?.holders.clear()
  world.submit(a, spec(1, { needs: [{ index: 0, task: { job, no: 0 } }] }))
  const other = new ChunkPayload({ ...made.ref, hash: new Uint8Array(32).fill(99) }, made.task, [b])
  world.end(0, other)
  expect(world.outcome(a, 1)).toMatchObject({
    status: 'failed',
    error: { code: 'E_CHUNK_LOST', cause: { code: 'E_HASH' } },
  })
  expect(world.outcome(a, 0)).toMatchObject({ status: 'done', value: { ref: made.ref } })
})

test('[CH10] a chunk that a user had put fails its consumers when its last copy goes, and says where it was', () => {
  const world = room([a, b, c])
  const table = chunk(b, 1)
  world.put(b, table)
  world.submit(
    a,
    spec(0, { peer: c }),
    spec(1, { peer: c, needs: [{ index: -1, task: { job, no: 0 } }], chunks: [{ index: 0, chunk: table }] }),
  )
  world.kill(b)
  world.end(0)
  world.later(2500)
  expect(world.outcome(a, 1)).toMatchObject({
    status: 'failed',
    error: { code: 'E_CHUNK_LOST' },
    attempts: 0,
  })
  const task = findTask(world.state(a), { job, no: 1 })
  expect(world.state(a).story.of(task).join('\n')).toContain(
    `chunk ${table.ref.id} lost its last copy, with peer b`,
  )
})

test('[CH7] an attempt that cannot have its chunk is tried again, and fails with the reason in the end', () => {
  const world = room([a, b, c])
  const table = chunk(b, 1)
  // Its home says that it has it, and does not.
  world.feed(a, { type: 'chunk-opened', chunk: table })
  world.submit(a, spec(0, { peer: c, chunks: [{ index: 0, chunk: table }] }))
  for (let tries = 0; tries < 25; tries++) {
    world.later(500)
    // Whoever could not have it is not taken for a holder.
    expect(world.state(a).chunks.get(table.ref.id)?.holders.has(c)).toBe(false)
  }
  expect(world.outcome(a, 0)).toMatchObject({ status: 'failed', error: { code: 'E_CHUNK_LOST' } })
  expect(world.running).toEqual([])
})

test('[CH11] another peer’s chunk is no result, nobody frees what is kept for others, and unknown ids are refused', () => {
  const world = room([a, b, c])
  world.submit(a, spec(0, { peer: b }), spec(1, { peer: b }))
  const made = chunk(b, 1, 1)
  world.end(0, chunk(c, 7, 0))
  expect(world.outcome(a, 0)).toMatchObject({ status: 'failed', error: { code: 'E_CHUNK_REF' } })
  world.end(1, made)
  world.feed(b, { type: 'message-received', from: c, message: { type: 'free', chunks: [made.ref.id] } })
  expect(world.has(b, made)).toBe(true)
  const answers = () =>
    world.told.filter(({ effect }) => effect.type === 'send' && effect.message.type === 'located')
  world.feed(a, {
    type: 'message-received',
    from: c,
    message: { type: 'want', chunk: chunk(c, 9), wish: 'find' },
  })
  world.feed(a, {
    type: 'message-received',
    from: c,
    message: { type: 'want', chunk: made, wish: 'release' },
  })
  expect(answers()).toMatchObject(
    [1, 2].map(() => ({ peer: a, effect: { to: c, message: { error: { code: 'E_CHUNK_REF' } } } })),
  )
})
