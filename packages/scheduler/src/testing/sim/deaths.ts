import { type JobId, taskIdOf } from '../../index.ts'
import { finish, runUntil, settleDown } from './ending.ts'
import type { SimFault } from './faults.ts'
import { makeMember, makeTaskSpec } from './recovery.ts'
import { createRng, type SimRng } from './rng.ts'
import type { WorldShape } from './shape.ts'
import type { SimAction } from './workload.ts'
import { createWorld, type SimOptions, stopFaults } from './world.ts'

export interface DeathsOptions extends Pick<SimOptions, 'seed' | 'log' | 'mutate'> {
  /** `busy`: peers die all the time, of no task. `poison`: one task kills each peer that runs it, owners too. */
  readonly kind: 'busy' | 'poison'
}

export interface DeathsReport {
  readonly seed: number
  readonly violations: readonly string[]
  /** Tasks that ended as failed, with the code. */
  readonly failed: readonly string[]
  /** Starts of peers that ended. */
  readonly deaths: number
}

const job = 'j' as JobId
const taskCount = 120
/** The one that kills, in a room of `poison`. */
const poisonNo = 7

/**
 * Runs a room of six members in which peers die and come back again and again while they have work. Who is killed
 * is whoever runs something at that time, as far as one can choose, so that the same task may well be hit twice.
 */
export function runDeaths(options: DeathsOptions): DeathsReport {
  const { kind } = options
  const rng = createRng(options.seed).fork('deaths')
  const shape = makeRoom(rng)
  const faults = kind === 'busy' ? makeDeaths(rng) : []
  const world = createWorld({ ...options, mode: 'liveness' }, { shape, actions: makeWork(rng, kind), faults })
  const failed = new Set<string>()
  const look = (): void => {
    const member = world.peers[shape.immortal]
    for (let no = 0; no < taskCount; no++) {
      const outcome = member?.runtime.outcomeOf({ job, no })
      if (outcome?.status === 'failed') failed.add(`${taskIdOf({ job, no })} ${outcome.error.code}`)
    }
    world.loop.at(world.loop.now() + 500, null, look)
  }
  world.loop.at(0, null, look)
  runUntil(world.loop, shape.horizonMs)
  stopFaults(world)
  settleDown(world)
  finish(world)
  const deaths =
    kind === 'busy' ? faults.length : world.peers.filter((peer) => peer?.gate.state === 'dead').length
  return { seed: options.seed, violations: world.history.violations, failed: [...failed], deaths }
}

function makeRoom(rng: SimRng): WorldShape {
  return {
    mode: 'liveness',
    isCalm: false,
    killedMs: 1500,
    peers: Array.from({ length: 7 }, (_, index) => makeMember(rng, index)),
    immortal: 6,
    horizonMs: 40_000,
    links: {
      delayMinMs: 0.5,
      delayMeanMs: 1,
      tailRate: 0.02,
      dropRate: 0,
      duplicateRate: 0,
      replicaDropRate: 0,
    },
    disks: { failRate: 0, tornMax: 0, lossRate: 0 },
  }
}

/** One of four peers dies every 400 ms, and is back soon. */
function makeDeaths(rng: SimRng): SimFault[] {
  return Array.from({ length: 60 }, (_, index) => ({
    type: 'restart',
    atMs: 2000 + index * 400 + rng.between(0, 300),
    peer: 1 + rng.int(4),
    forMs: rng.between(200, 800),
  }))
}

function makeWork(rng: SimRng, kind: DeathsOptions['kind']): SimAction[] {
  // Long enough that whoever dies dies under one.
  const runMs = kind === 'busy' ? 400 : 50
  const specs = Array.from({ length: taskCount }, (_, no) =>
    makeTaskSpec(rng, no, runMs, kind === 'poison' && no === poisonNo ? 'peer' : 'nothing'),
  )
  const peer = kind === 'busy' ? 5 : 0
  const refs = specs.map(({ no }) => ({ job, no }))
  return [
    { type: 'submit', atMs: 1500, peer, job, specs, isRange: false },
    { type: 'watch', atMs: 1500, peer, refs },
    { type: 'seal', atMs: 1600, peer, job },
  ]
}
