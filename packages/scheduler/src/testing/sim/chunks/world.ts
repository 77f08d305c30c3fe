import type { Effect } from '../../../core/effects.ts'
import type { Event } from '../../../core/events.ts'
import type { SchedulerState } from '../../../core/state.ts'
import {
  type Call,
  type ChunkNeed,
  ChunkPayload,
  homeOf,
  noNeeds,
  type PeerId,
  type RuntimeOptions,
  ShoalError,
  type TaskRef,
  type TaskSpec,
  taskIdOf,
} from '../../../index.ts'
import { finish, settling, type Waits, type World } from '../ending.ts'
import type { SimMutation, SimPeer } from '../peer.ts'
import { enlarge, numberOf, packProgram, packValue, simOperation } from '../program.ts'
import type { SimReplicaFactory } from '../replica.ts'
import { createRng, mix } from '../rng.ts'
import { act, createWorld, stopFaults } from '../world.ts'
import { afterStep, beforeStep, checkChunks, checkForgottenChunks, openGets } from './checks.ts'
import { type ChunkAction, type ChunkWorldKind, makeChunkPlan, type PlannedTask } from './plan.ts'
import type { ChunkWorld } from './room.ts'
import { createChunkRoom } from './store.ts'

export interface ChunkSimOptions {
  /** Decides everything. */
  readonly seed: number
  readonly kind: ChunkWorldKind
  /** Default: no planted bug. */
  readonly mutate?: SimMutation
  /** Default: the fake replica. */
  readonly createReplica?: SimReplicaFactory
  /** Takes the log; default: none. */
  readonly log?: (line: string) => void
}

export interface ChunkSimReport {
  readonly seed: number
  readonly violations: readonly string[]
  /** Equal for equal histories. */
  readonly hash: string
  readonly stats: {
    readonly events: number
    readonly chunks: number
    readonly remakes: number
    readonly moves: number
    readonly gets: number
    readonly faults: number
    readonly executions: number
    readonly virtualMs: number
  }
}

/** Users have waited this long for the bytes of a chunk after all faults: they never come. */
const patienceMs = 60_000

/** Runs a room with chunks from its seed to its end. What waits for promises runs between two events. */
export async function runChunkWorld(options: ChunkSimOptions): Promise<ChunkSimReport> {
  const room = createChunkWorld(options)
  const { world, plan } = room
  const { loop, history, shape } = world
  await runTo(world, shape.horizonMs * 0.6)
  stopFaults(world)
  for (const atMs of ending(room)) await runTo(world, atMs)
  finish(world)
  return {
    seed: options.seed,
    violations: history.violations,
    hash: world.trace.hash(),
    stats: {
      events: loop.count,
      chunks: room.made.size,
      remakes: [...room.remakes.values()].reduce((sum, count) => sum + count, 0),
      moves: [...room.chunks.moves.values()].reduce((sum, count) => sum + count, 0),
      gets: room.gets.length,
      faults: world.faults + plan.damages.length,
      executions: [...history.executions.values()].reduce((sum, count) => sum + count, 0),
      virtualMs: loop.now(),
    },
  }
}

function* ending(room: ChunkWorld): Waits {
  const { world } = room
  const { loop } = world
  yield Math.max(world.shape.horizonMs, world.lastActionMs)
  const deadlineMs = loop.now() + patienceMs
  while (openGets(room).length > 0 && loop.now() < deadlineMs) {
    loop.at(loop.now() + 500, null, () => undefined)
    yield loop.now() + 500
  }
  checkChunks(room)
  yield* settling(world)
  if (world.goesToTheEnd && world.history.violations.length === 0) checkForgottenChunks(room)
}

/** The longest chain of promises between an event of a store and the core is shorter. */
const turnsOfPromises = 24

async function runTo({ loop }: World, atMs: number): Promise<void> {
  while (loop.nextAt() <= atMs && loop.runNext()) {
    for (let turn = 0; turn < turnsOfPromises; turn++) await null
  }
}

function createChunkWorld(options: ChunkSimOptions): ChunkWorld {
  const rng = createRng(mix(options.seed, options.kind.length))
  const plan = makeChunkPlan(rng.fork('plan'), options.kind)
  const chunks = createChunkRoom(() => room.world)
  const world = createWorld(
    {
      ...options,
      mode: 'liveness',
      mutate: (parts, peer, random) => watched(room, options, parts, peer, random),
    },
    {
      shape: plan.shape,
      actions: [],
      faults: plan.faults,
      openChunks: chunks.open,
      onStart: (_peer, call) => onStart(room, call),
    },
  )
  const room: ChunkWorld = {
    plan,
    world,
    chunks,
    puts: new Map(),
    gets: [],
    submissions: new Map(),
    remakes: new Map(),
    seen: new WeakMap(),
    made: new Set(),
  }
  for (const action of plan.actions) {
    const forMs = 'forMs' in action ? action.forMs : 0
    world.lastActionMs = Math.max(world.lastActionMs, action.atMs + forMs + handedMs + 100)
    world.loop.at(action.atMs, null, () => actOn(room, action))
  }
  for (const { atMs, nth } of plan.damages) world.loop.at(atMs, null, () => damage(room, nth))
  return room
}

/** The core's door with the checks looking on, behind whatever bug is planted. */
function watched(
  room: ChunkWorld,
  { mutate }: ChunkSimOptions,
  options: RuntimeOptions,
  peer: number,
  rng: Parameters<SimMutation>[2],
): RuntimeOptions {
  const { step } = options
  if (step === undefined) return options
  const seen: RuntimeOptions = {
    ...options,
    step: (state: SchedulerState, event: Event): Effect[] => {
      beforeStep(room, peer, event)
      const effects = step(state, event)
      afterStep(room, peer, state)
      return effects
    },
  }
  return mutate === undefined ? seen : mutate(seen, peer, rng)
}

function onStart(room: ChunkWorld, call: Call): void {
  if (call.remakes !== undefined) room.remakes.set(call.remakes, (room.remakes.get(call.remakes) ?? 0) + 1)
}

/** Somebody's copy goes by itself. */
function damage({ world, chunks }: ChunkWorld, nth: number): void {
  if (world.isOver) return
  const ids = [...chunks.copies().keys()]
  const id = ids[nth % ids.length]
  const holder = id === undefined ? undefined : chunks.holders(id)[0]?.at
  if (id === undefined || holder?.gate.state !== 'running') return
  world.history.lostPuts(homeOf(id) as PeerId)
  world.faults++
  world.trace.event('!', holder.index, nth, () => `the copy of ${id} on ${holder.id} is damaged`)
  chunks.damage(holder, id)
}

/** A user does something on a peer, if that peer runs. */
function actOn(room: ChunkWorld, action: ChunkAction): void {
  const { world } = room
  const peer = world.peers[action.peer]
  if (!peer || peer.gate.state === 'dead' || peer.endpoint.hasLeft) return
  world.loop.at(world.loop.now(), peer.gate, () => {
    world.trace.event('+', peer.index, action.type.length, () => `${action.type} ${describe(action)}`)
    switch (action.type) {
      case 'put':
        void put(room, peer, action)
        return
      case 'hand':
        hand(room, peer, action)
        return
      case 'get':
        void get(room, peer, action)
        return
      case 'submit':
        room.submissions.set(action.job, submit(room, peer, action))
        return
      case 'seal':
        void room.submissions.get(action.job)?.then(() => act(world, action))
    }
  })
}

function describe(action: ChunkAction): string {
  if (action.type === 'get')
    return typeof action.what === 'number' ? `put ${action.what}` : taskIdOf(action.what)
  if (action.type === 'submit')
    return `${action.job} ${action.tasks.map(({ no, needs }) => `#${no}(${needs.map(({ task }) => taskIdOf(task)).join(',')})`).join(' ')}`
  return action.type === 'seal' ? action.job : `put ${action.put}`
}

type ActionOf<T extends ChunkAction['type']> = Extract<ChunkAction, { readonly type: T }>

async function put(
  room: ChunkWorld,
  peer: SimPeer,
  { put: name, kib, forMs }: ActionOf<'put'>,
): Promise<void> {
  const bytes = enlarge(packValue(mix(name, kib), 0), kib)
  const chunk = await peer.runtime.chunks?.put(bytes.bytes)
  if (chunk === undefined) return
  room.puts.set(name, { chunk, handles: new Map() })
  holdHandle(room, peer, name, forMs)
}

/** Counts a handle that a user has from now on, and lets it go when its time is over. */
function holdHandle({ world, puts }: ChunkWorld, peer: SimPeer, name: number, forMs: number): void {
  const known = puts.get(name)
  if (known === undefined) return
  const { chunk, handles } = known
  handles.set(peer, (handles.get(peer) ?? 0) + 1)
  world.loop.at(world.loop.now() + forMs, peer.gate, () => {
    const left = (handles.get(peer) ?? 0) - 1
    if (left > 0) handles.set(peer, left)
    else handles.delete(peer)
    peer.runtime.chunks?.release(chunk.ref.id)
  })
}

/** As long as a giver holds on to a handle. */
const handedMs = 5000

/** Whoever gives a handle away holds its own until the other side is known to have one. */
function hand(room: ChunkWorld, peer: SimPeer, { put: name, forMs }: ActionOf<'hand'>): void {
  const known = room.puts.get(name)
  const giver = [...(known?.handles.keys() ?? [])].find(({ gate }) => gate.state === 'running')
  if (known === undefined || giver === undefined) return
  // Given away in a conversation: the other side knows the giver, who waits until it is heard.
  if (!peer.runtime.state.peers.has(known.chunk.ref.home)) return
  giver.runtime.chunks?.open(known.chunk)
  holdHandle(room, giver, name, handedMs)
  peer.runtime.chunks?.open(known.chunk)
  holdHandle(room, peer, name, forMs)
}

/** A user reads a chunk: one that it has a handle to, or the value of a task that it knows to have ended. */
async function get(room: ChunkWorld, peer: SimPeer, { what, forMs }: ActionOf<'get'>): Promise<void> {
  const { world, gets } = room
  const { history } = world
  const { chunks } = peer.runtime
  const chunk = typeof what === 'number' ? heldPut(room, peer, what) : resultOf(peer, what)
  if (chunk === null || chunks === null) return
  const seen = { peer, chunk, isOver: false }
  gets.push(seen)
  if (forMs > 0) {
    chunks.open(chunk)
    world.loop.at(world.loop.now() + forMs, peer.gate, () => chunks.release(chunk.ref.id))
  }
  try {
    const bytes = await chunks.fetch(chunk)
    const value = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
    if (value !== numberOf(chunk)) history.violate('get', `p${peer.index} got ${value} for ${chunk.ref.id}`)
  } catch (error) {
    const code = error instanceof ShoalError ? error.code : String(error)
    const isClosed = code === 'E_CLOSED' && peer.gate.state !== 'running'
    if (!isClosed && !history.mayLose(chunk))
      history.violate('get', `p${peer.index} got ${code} for ${chunk.ref.id}: ${error}`)
  }
  seen.isOver = true
}

function heldPut({ puts }: ChunkWorld, peer: SimPeer, name: number): ChunkPayload | null {
  const known = puts.get(name)
  return known?.handles.has(peer) ? known.chunk : null
}

function resultOf(peer: SimPeer, ref: TaskRef): ChunkPayload | null {
  const outcome = peer.runtime.outcomeOf(ref)
  return outcome?.status === 'done' && outcome.value instanceof ChunkPayload ? outcome.value : null
}

/** Large arguments are put first; their handles go as soon as the tasks have them. */
async function submit(
  room: ChunkWorld,
  peer: SimPeer,
  { job, tasks, atMs }: ActionOf<'submit'>,
): Promise<void> {
  const { world } = room
  const { chunks } = peer.runtime
  const specs: TaskSpec[] = []
  for (const task of tasks) specs.push(await specOf(room, peer, task))
  act(world, { type: 'submit', atMs, peer: peer.index, job, specs, isRange: false })
  act(world, { type: 'watch', atMs, peer: peer.index, refs: specs.map(({ no }) => ({ job, no })) })
  world.loop.at(world.loop.now(), peer.gate, () => {
    for (const { args } of specs) if (args instanceof ChunkPayload) chunks?.release(args.ref.id)
  })
}

async function specOf(room: ChunkWorld, peer: SimPeer, task: PlannedTask): Promise<TaskSpec> {
  const { no, program, options } = task
  const small = packProgram(program)
  const args = task.hasLargeArgs ? await peer.runtime.chunks?.put(enlarge(small, 50).bytes) : small
  const needs = task.needs.length === 0 ? noNeeds : task.needs
  const held = task.puts.map((name) => heldPut(room, peer, name)).filter((chunk) => chunk !== null)
  const chunks: ChunkNeed[] = held.map((chunk, index) => ({ index: 10 + index, chunk }))
  const spec = { no, operation: simOperation, args: args ?? small, needs, options, parent: null }
  return chunks.length === 0 ? spec : { ...spec, chunks }
}
