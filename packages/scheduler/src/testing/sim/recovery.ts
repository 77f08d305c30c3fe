import {
  defaultTaskOptions,
  type JobId,
  noNeeds,
  type PeerId,
  processorId,
  type TaskRef,
  type TaskSpec,
  taskIdOf,
} from '../../index.ts'
import { finish, runUntil, settleDown, type World } from './ending.ts'
import type { SimFault } from './faults.ts'
import { packProgram, type SimProgram, simOperation } from './program.ts'
import { createRng, type SimRng } from './rng.ts'
import type { PeerShape, WorldShape } from './shape.ts'
import type { SimAction } from './workload.ts'
import { createWorld, type SimOptions, stopFaults } from './world.ts'

type Death = Extract<SimFault, { type: 'crash' | 'restart' }>

/** One task whose peer died under it. */
export interface SimRecovery {
  readonly task: string
  /** From the death until it started elsewhere, or its outcome was there, in virtual milliseconds. */
  readonly ms: number
  /** The peer that died owned the task's job, too. */
  readonly wasOwner: boolean
}

export interface RecoveryOptions extends Pick<SimOptions, 'seed' | 'log' | 'mutate'> {
  /**
   * `killed`: sockets close, so that deaths are noticed after 1.5 s. `silent`: only 3 s of silence tell, and times
   * count from the second death. `trouble`: as `killed`, and a third peer stands still or is cut off meanwhile.
   */
  readonly kind: 'killed' | 'silent' | 'trouble'
}

export interface RecoveryReport {
  readonly seed: number
  readonly violations: readonly string[]
  readonly recoveries: readonly SimRecovery[]
}

/** When the first peer dies: everybody has met by then, and there is work for longer. */
const deathAtMs = 4000
const lookMs = 20
/** The second one dies this much later at most. */
const gapMaxMs = 3000

/**
 * Runs a room in which an executing peer and the owner of its tasks die within 3 s of each other, either of
 * them first, and says how long each lost task took to run again. Some of the dead come back soon, and some links
 * lose messages.
 */
export function runRecovery(options: RecoveryOptions): RecoveryReport {
  const { kind } = options
  const rng = createRng(options.seed).fork('recovery')
  const shape = makeRoom(rng, kind)
  const deaths = makeDeaths(rng)
  const faults = [...deaths, ...(kind === 'trouble' ? makeTrouble(rng) : [])]
  const secondAtMs = deaths[1]?.atMs ?? 0
  const lastStart = new Map<string, { readonly peer: number; readonly task: TaskRef }>()
  const open: { readonly task: string; readonly diedAtMs: number; readonly wasOwner: boolean }[] = []
  const recoveries: SimRecovery[] = []
  const end = (task: string): void => {
    for (let at = open.length - 1; at >= 0; at--) {
      const one = open[at]
      if (one?.task !== task) continue
      open.splice(at, 1)
      recoveries.push({ task, ms: Math.max(0, world.loop.now() - one.diedAtMs), wasOwner: one.wasOwner })
    }
  }
  const world = createWorld(
    { ...options, mode: 'liveness' },
    {
      shape,
      actions: makeWork(rng),
      faults,
      onStart(peer, task) {
        lastStart.set(taskIdOf(task), { peer, task })
        end(taskIdOf(task))
      },
    },
  )
  for (const { peer, atMs } of deaths) {
    // Faults were planned before: this one has just happened.
    world.loop.at(atMs, null, () => {
      for (const [task, last] of lastStart) {
        if (last.peer !== peer || isKnown(world, last.task)) continue
        const diedAtMs = kind === 'silent' ? secondAtMs : atMs
        open.push({ task, diedAtMs, wasOwner: last.task.job === jobOf(peer) })
      }
    })
  }
  // A result that somebody holds ends a task without another start.
  const look = (): void => {
    for (const { task } of [...open]) {
      const ref = lastStart.get(task)?.task
      if (ref !== undefined && isKnown(world, ref)) end(task)
    }
    if (world.loop.now() < shape.horizonMs) world.loop.at(world.loop.now() + lookMs, null, look)
  }
  world.loop.at(deathAtMs, null, look)
  runUntil(world.loop, shape.horizonMs)
  for (const { task } of open) world.history.violate('recovery', `${task} never ran again`)
  stopFaults(world)
  settleDown(world)
  finish(world)
  return { seed: options.seed, violations: world.history.violations, recoveries }
}

/** Somebody who lives knows how the task ended. */
function isKnown(world: World, task: TaskRef): boolean {
  return world.peers.some((peer) => peer?.gate.state === 'running' && peer.runtime.outcomeOf(task) !== null)
}

function jobOf(peer: number): JobId {
  return `j${peer}` as JobId
}

/** Six members; `p0` owns most of the work, and never lives through it. */
function makeRoom(rng: SimRng, kind: RecoveryOptions['kind']): WorldShape {
  const peers = Array.from({ length: 6 }, (_, index) => makeMember(rng, index))
  return {
    mode: 'liveness',
    isCalm: false,
    ...(kind === 'silent' ? {} : { killedMs: 1500 }),
    peers,
    immortal: 5,
    horizonMs: 20_000,
    links: {
      delayMinMs: 0.5,
      delayMeanMs: rng.pick([1, 5]),
      tailRate: 0.02,
      dropRate: rng.pick([0, 0, 0.05]),
      duplicateRate: 0,
      replicaDropRate: 0,
    },
    disks: { failRate: 0, tornMax: rng.pick([0, 3]), lossRate: rng.pick([0, 1]) },
  }
}

/** The owner `p0` and an executing peer. */
function makeDeaths(rng: SimRng): Death[] {
  const gapMs = rng.between(0, gapMaxMs)
  const first = rng.pick([0, 1])
  return [first, 1 - first].map((peer, index): Death => {
    const atMs = deathAtMs + index * gapMs
    if (rng.chance(0.5)) return { type: 'crash', atMs, peer }
    return { type: 'restart', atMs, peer, forMs: rng.between(300, 2500) }
  })
}

/** Another peer stands still or is cut off about then: it may have lost tasks, too, or be the next owner. */
function makeTrouble(rng: SimRng): SimFault[] {
  const atMs = deathAtMs + rng.between(-1000, gapMaxMs)
  const forMs = rng.pick([1000, 2000, 5000])
  const peer = rng.pick([2, 3, 4])
  const dice = rng.next()
  if (dice < 0.4) return []
  if (dice < 0.7) return [{ type: 'pause', atMs, peer, forMs }]
  const cuts = [0, 1, 2, 3, 4, 5].flatMap((other) =>
    other === peer
      ? []
      : ([
          [peer, other],
          [other, peer],
        ] as const),
  )
  return [{ type: 'partition', atMs, forMs, kind: 'halves', cuts }]
}

/** Work of the owner and of others, all the time: jobs come just before each death, too. */
function makeWork(rng: SimRng): SimAction[] {
  const actions: SimAction[] = []
  for (const peer of [0, 1, 2]) {
    const job = jobOf(peer)
    for (let part = 0; part < 6; part++) {
      const specs = Array.from({ length: 12 }, (_, index) =>
        makeTaskSpec(rng, part * 12 + index, rng.pick([20, 50, 300])),
      )
      const atMs = 1000 + part * 1000 + rng.between(0, 900)
      const refs = specs.map(({ no }) => ({ job, no }))
      actions.push({ type: 'submit', atMs, peer, job, specs, isRange: false })
      actions.push({ type: 'watch', atMs, peer, refs })
    }
    actions.push({ type: 'seal', atMs: 8000, peer, job })
  }
  return actions.sort((left, right) => left.atMs - right.atMs)
}

/** A task that runs alone and ends well, unless it kills. */
export function makeTaskSpec(
  rng: SimRng,
  no: number,
  runMs: number,
  kills: SimProgram['kills'] = 'nothing',
): TaskSpec {
  const program: SimProgram = { seed: rng.int(2 ** 32), runMs, failTimes: 0, kills, children: 0, depth: 0 }
  const args = packProgram(program)
  return { no, operation: simOperation, args, needs: noNeeds, options: defaultTaskOptions, parent: null }
}

/** A member with one processor that is there from the start. */
export function makeMember(rng: SimRng, index: number): PeerShape {
  const id = `p${index}` as PeerId
  return {
    id,
    role: 'member',
    startsAtMs: rng.between(0, 200),
    processors: [{ id: processorId(id, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }],
    clockOffsetMs: rng.int(600_000),
    clockRate: 1,
  }
}
