import {
  defaultTaskOptions,
  type JobId,
  type Need,
  type PeerId,
  processorId,
  type TaskOptionsRecord,
  type TaskRef,
} from '../../../index.ts'
import { makeFaults, type SimFault } from '../faults.ts'
import type { SimProgram } from '../program.ts'
import type { SimRng } from '../rng.ts'
import { makeShape, type PeerShape, perfectLinks, type WorldShape } from '../shape.ts'

/**
 * `calm`: nothing goes wrong. `leaves`: peers leave politely, and that is all. `deaths`: peers die and come back with
 * nothing, and copies are damaged. `chaos`: every fault of `faults.ts`, too.
 */
export type ChunkWorldKind = 'calm' | 'leaves' | 'deaths' | 'chaos'

/** A task as planned: with chunks that its user has handles to when it is submitted. */
export interface PlannedTask {
  readonly no: number
  readonly program: SimProgram
  /** Its arguments are a chunk, too. */
  readonly hasLargeArgs: boolean
  readonly needs: readonly Need[]
  /** Numbers of chunks that users put. */
  readonly puts: readonly number[]
  readonly options: TaskOptionsRecord
}

/** What the users of a room with chunks do. A handle is let go after `forMs`. */
export type ChunkAction = { readonly atMs: number; readonly peer: number } & (
  | { readonly type: 'put'; readonly put: number; readonly kib: number; readonly forMs: number }
  /** Somebody else is given a handle, while the one who gave it has one. */
  | { readonly type: 'hand'; readonly put: number; readonly forMs: number }
  | { readonly type: 'get'; readonly what: TaskRef | number; readonly forMs: number }
  | { readonly type: 'submit'; readonly job: JobId; readonly tasks: readonly PlannedTask[] }
  | { readonly type: 'seal'; readonly job: JobId }
)

export interface ChunkPlan {
  readonly kind: ChunkWorldKind
  readonly shape: WorldShape
  readonly actions: readonly ChunkAction[]
  readonly faults: readonly SimFault[]
  /** Copies that go by themselves: at this time, the n-th one that there is. */
  readonly damages: readonly { readonly atMs: number; readonly nth: number }[]
}

/** KiB of a value that becomes a chunk: from what moves in no time to what takes longer than most bodies run. */
const kibs = [20, 100, 400] as const

export function makeChunkPlan(rng: SimRng, kind: ChunkWorldKind): ChunkPlan {
  const shape = makeRoom(rng.fork('shape'), kind)
  const lastMs = shape.horizonMs * 0.6
  const damageRng = rng.fork('damages')
  const damages = Array.from({ length: kind === 'calm' || kind === 'leaves' ? 0 : damageRng.int(4) }, () => ({
    atMs: damageRng.between(500, lastMs),
    nth: damageRng.int(64),
  }))
  return {
    kind,
    shape,
    actions: makeActions(rng.fork('actions'), shape),
    faults: makeChunkFaults(rng.fork('faults'), shape, kind),
    damages,
  }
}

/** Everybody is there from the start, and can run something. */
function makeRoom(rng: SimRng, kind: ChunkWorldKind): WorldShape {
  const shape = makeShape(rng, 'liveness')
  const peers = shape.peers.map((peer, index): PeerShape => {
    const processors = peer.processors.length > 0 ? peer.processors : [defaultProcessor(peer.id)]
    return { ...peer, startsAtMs: index === shape.immortal ? 0 : Math.min(peer.startsAtMs, 500), processors }
  })
  const isWell = kind === 'calm' || kind === 'leaves'
  return { ...shape, isCalm: kind === 'calm', peers, links: isWell ? perfectLinks : shape.links }
}

function defaultProcessor(peer: PeerId): PeerShape['processors'][number] {
  return { id: processorId(peer, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }
}

function makeChunkFaults(rng: SimRng, shape: WorldShape, kind: ChunkWorldKind): readonly SimFault[] {
  if (kind === 'calm') return []
  const lastMs = shape.horizonMs * 0.6
  const faults: SimFault[] = kind === 'chaos' ? [...makeFaults(rng, shape, new Set())] : []
  for (let count = 1 + rng.int(4); count > 0; count--) {
    const peer = rng.int(shape.peers.length)
    const atMs = rng.between(1000, lastMs)
    if (peer === shape.immortal) continue
    if (kind === 'leaves') faults.push({ type: 'leave', atMs, peer })
    else if (rng.chance(0.4)) faults.push({ type: 'crash', atMs, peer })
    else faults.push({ type: 'restart', atMs, peer, forMs: rng.pick([200, 1400, 3300]) })
  }
  return faults.sort((left, right) => left.atMs - right.atMs)
}

function makeActions(rng: SimRng, shape: WorldShape): readonly ChunkAction[] {
  const members = shape.peers.flatMap((peer, index) => (peer.role === 'member' ? [index] : []))
  const actions: ChunkAction[] = []
  const puts: number[] = []
  for (let put = rng.int(4); put > 0; put--) {
    const [peer, other] = [rng.pick(members), rng.pick(members)]
    const atMs = rng.between(600, shape.horizonMs / 3)
    const forMs = rng.between(500, shape.horizonMs)
    puts.push(peer)
    actions.push({ type: 'put', atMs, peer, put: puts.length - 1, kib: rng.pick(kibs), forMs })
    const handAtMs = atMs + rng.between(50, 1000)
    if (rng.chance(0.6))
      actions.push({ type: 'hand', atMs: handAtMs, peer: other, put: puts.length - 1, forMs })
    if (rng.chance(0.6))
      actions.push({
        type: 'get',
        atMs: handAtMs + rng.between(0, forMs),
        peer: other,
        what: puts.length - 1,
        forMs: 0,
      })
  }
  const sizes: number[] = []
  for (let number = 0, count = 1 + rng.int(3); number < count; number++)
    actions.push(...makeJob(rng, shape, members, puts.length, sizes))
  return actions.sort((left, right) => left.atMs - right.atMs)
}

/** A job in one to three parts, so that chunks are needed again long after they were made, and gets of its outcomes. */
function makeJob(
  rng: SimRng,
  shape: WorldShape,
  members: readonly number[],
  puts: number,
  sizes: number[],
): ChunkAction[] {
  const peer = rng.pick(members)
  const job = `j${sizes.length}` as JobId
  const size = 3 + rng.int(12)
  const tasks = Array.from({ length: size }, (_, no) => makeTask(rng, job, no, puts, sizes))
  const actions: ChunkAction[] = []
  let atMs = rng.between(700, shape.horizonMs / 2)
  for (let from = 0; from < size; ) {
    const count = rng.chance(0.4) ? size : 1 + rng.int(6)
    actions.push({ type: 'submit', atMs, peer, job, tasks: tasks.slice(from, from + count) })
    from += count
    atMs += rng.between(100, shape.horizonMs / 4)
  }
  actions.push({ type: 'seal', atMs, peer, job })
  for (let gets = rng.int(4); gets > 0; gets--) {
    const what = { job, no: rng.int(size) }
    const getAtMs = atMs + rng.between(-500, shape.horizonMs / 2)
    actions.push({ type: 'get', atMs: getAtMs, peer: rng.pick(members), what, forMs: rng.pick([0, 0, 2000]) })
  }
  sizes.push(size)
  return actions
}

function makeTask(rng: SimRng, job: JobId, no: number, puts: number, sizes: readonly number[]): PlannedTask {
  const inner = new Set<number>()
  for (let edge = no === 0 ? 0 : rng.int(3); edge > 0; edge--) inner.add(rng.int(no))
  const refs: TaskRef[] = [...inner].map((other) => ({ job, no: other }))
  if (sizes.length > 0 && rng.chance(0.1)) {
    const other = rng.int(sizes.length)
    refs.push({ job: `j${other}` as JobId, no: rng.int(sizes[other] as number) })
  }
  const failTimes = rng.chance(0.05) ? 1 : 0
  const program: SimProgram = {
    seed: rng.int(2 ** 32),
    runMs: rng.pick([1, 5, 20, 100, 400]),
    failTimes,
    kills: rng.chance(0.01) ? 'processor' : 'nothing',
    children: rng.chance(0.06) ? 1 + rng.int(2) : 0,
    depth: 0,
    kib: rng.chance(0.6) ? rng.pick(kibs) : 0,
  }
  return {
    no,
    program,
    hasLargeArgs: rng.chance(0.08),
    needs: refs.map((task, index) => ({ index: rng.chance(0.1) ? -1 : index, task })),
    puts: puts > 0 && rng.chance(0.25) ? [rng.int(puts)] : [],
    options: { ...defaultTaskOptions, retryMax: failTimes },
  }
}
