import {
  defaultScope,
  defaultTaskOptions,
  type JobId,
  type Need,
  noNeeds,
  type Scope,
  type TaskOptionsRecord,
  type TaskRef,
  type TaskSpec,
} from '../../index.ts'
import { failsAlways, packProgram, type SimProgram, simOperation } from './program.ts'
import type { SimRng } from './rng.ts'
import type { WorldShape } from './shape.ts'

/** What the users of a world do, and when. */
export type SimAction =
  | {
      readonly type: 'submit'
      readonly atMs: number
      readonly peer: number
      readonly job: JobId
      readonly specs: readonly TaskSpec[]
      /** As one range. */
      readonly isRange: boolean
    }
  | { readonly type: 'seal'; readonly atMs: number; readonly peer: number; readonly job: JobId }
  | {
      readonly type: 'cancel'
      readonly atMs: number
      readonly peer: number
      readonly job: JobId
      readonly nos: readonly number[] | null
    }
  | {
      readonly type: 'watch'
      readonly atMs: number
      readonly peer: number
      readonly refs: readonly TaskRef[]
    }

interface JobPlan {
  readonly id: JobId
  readonly peer: number
  readonly specs: readonly TaskSpec[]
  /** Submitted as ranges. */
  readonly isRange: boolean
}

/** The actions of a world, in order of time. */
export function makeWorkload(rng: SimRng, shape: WorldShape): readonly SimAction[] {
  const members = shape.peers.flatMap((peer, index) => (peer.role === 'member' ? [index] : []))
  const actions: SimAction[] = []
  const jobs: JobPlan[] = []
  const jobCount = 1 + rng.int(4)
  const ranges = rng.fork('ranges')
  const hasRanges = ranges.chance(0.5)
  for (let number = 0; number < jobCount; number++) {
    const peer = rng.pick(members)
    const id = `j${number}` as JobId
    const startsAtMs = (shape.peers[peer]?.startsAtMs ?? 0) + rng.between(0, shape.horizonMs / 3)
    const single = makeSpecs(rng, jobs, shape.isCalm)
    const isRange = hasRanges && ranges.chance(0.5)
    const specs = isRange ? makeRange(ranges, shape.isCalm) : single
    jobs.push({ id, peer, specs, isRange })
    actions.push(...submissions(rng, { id, peer, specs, isRange }, startsAtMs))
    for (const watcher of members) {
      if (!rng.chance(0.3)) continue
      const refs = specs.filter(() => rng.chance(0.5)).map((spec) => ({ job: id, no: spec.no }))
      actions.push({ type: 'watch', atMs: startsAtMs + rng.between(0, shape.horizonMs), peer: watcher, refs })
    }
    if (rng.chance(0.2)) {
      const nos = rng.chance(0.4) ? null : [rng.int(specs.length)]
      const canceller = rng.chance(0.6) ? peer : rng.pick(members)
      actions.push({
        type: 'cancel',
        atMs: startsAtMs + rng.between(50, 3000),
        peer: canceller,
        job: id,
        nos,
      })
    }
  }
  return actions.sort((left, right) => left.atMs - right.atMs)
}

/** One job in one or more slices, watched by its submitter, then sealed. */
function submissions(rng: SimRng, job: JobPlan, startsAtMs: number): SimAction[] {
  const actions: SimAction[] = []
  let atMs = startsAtMs
  let from = 0
  while (from < job.specs.length) {
    const count = rng.chance(0.6) ? job.specs.length : 1 + rng.int(4)
    const specs = job.specs.slice(from, from + count)
    const isRange = job.isRange && specs.length > 1
    const refs = specs.map((spec) => ({ job: job.id, no: spec.no }))
    actions.push({ type: 'submit', atMs, peer: job.peer, job: job.id, specs, isRange })
    actions.push({ type: 'watch', atMs, peer: job.peer, refs })
    from += count
    atMs += rng.between(0, 800)
  }
  actions.push({ type: 'seal', atMs: atMs + rng.between(0, 100), peer: job.peer, job: job.id })
  return actions
}

type Form = 'map' | 'chain' | 'fan' | 'random'

function makeSpecs(rng: SimRng, earlier: readonly JobPlan[], isCalm: boolean): TaskSpec[] {
  const form = rng.pick<Form>(['map', 'map', 'chain', 'fan', 'random', 'random'])
  const count = form === 'chain' ? 2 + rng.int(5) : 2 + rng.int(14)
  const job = `j${earlier.length}` as JobId
  return Array.from({ length: count }, (_, no) => {
    const inner = needsOf(rng, form, no, count).map((other) => ({ job, no: other }))
    const other = earlier.length > 0 && rng.chance(0.15) ? rng.pick(earlier) : null
    if (other !== null) inner.push({ job: other.id, no: rng.int(other.specs.length) })
    const needs: readonly Need[] =
      inner.length === 0
        ? noNeeds
        : inner.map((task, index) => ({ index: rng.chance(0.1) ? -1 : index, task }))
    const { program, options } = makeTask(rng, isCalm)
    return { no, operation: simOperation, args: packProgram(program), needs, options, parent: null }
  })
}

/** Tasks that differ in their arguments alone. Their bodies neither spawn nor have a limit of time. */
function makeRange(rng: SimRng, isCalm: boolean): TaskSpec[] {
  const { options } = makeTask(rng, isCalm)
  const shared = { ...options, timeoutMs: 0 }
  const runMs = rng.pick([0, 1, 5, 20, 100])
  return Array.from({ length: 2 + rng.int(60) }, (_, no) => {
    const { program } = makeTask(rng, isCalm)
    const args = packProgram({ ...program, runMs, children: 0, depth: 0 })
    return { no, operation: simOperation, args, needs: noNeeds, options: shared, parent: null }
  })
}

function needsOf(rng: SimRng, form: Form, no: number, count: number): number[] {
  if (form === 'map' || no === 0) return []
  if (form === 'chain') return [no - 1]
  if (form === 'fan') return no === count - 1 ? Array.from({ length: no }, (_, other) => other) : []
  const needs = new Set<number>()
  for (let edge = rng.int(3); edge > 0; edge--) needs.add(rng.int(no))
  return [...needs]
}

function makeTask(rng: SimRng, isCalm: boolean): { program: SimProgram; options: TaskOptionsRecord } {
  const program: SimProgram = {
    seed: rng.int(2 ** 32),
    runMs: rng.pick([0, 1, 5, 20, 100, 400]),
    failTimes: 0,
    kills: 'nothing',
    children: 0,
    depth: 0,
  }
  const options: TaskOptionsRecord = {
    ...defaultTaskOptions,
    priority: rng.pick([0, 0, 0, 1, 5]),
    scope: rng.chance(0.05) ? unionScope : rng.chance(0.05) ? anyScope : defaultScope,
  }
  const dice = rng.next()
  if (dice < 0.06) {
    // Throws a few times: more often than it may, or just as often.
    const failTimes = 1 + rng.int(3)
    const retryMax = failTimes - (rng.chance(0.3) ? 1 : 0)
    const retryBackoffMs = rng.pick([0, 50, 500])
    return { program: { ...program, failTimes }, options: { ...options, retryMax, retryBackoffMs } }
  }
  if (dice < 0.09) {
    return { program: { ...program, failTimes: failsAlways }, options: { ...options, retryMax: rng.int(3) } }
  }
  if (dice < 0.12) return { program: { ...program, runMs: 400 }, options: { ...options, timeoutMs: 100 } }
  if (dice < 0.14) return { program: { ...program, kills: 'processor' }, options }
  if (dice < 0.145 && !isCalm) return { program: { ...program, kills: 'peer' }, options }
  if (dice < 0.22) return { program: { ...program, children: 1 + rng.int(3), depth: rng.int(2) }, options }
  return { program, options }
}

const anyScope: Scope = Object.freeze({ type: 'any' })
const unionScope: Scope = Object.freeze({
  type: 'union',
  scopes: Object.freeze([
    { type: 'kind', kind: 'worker' },
    { type: 'kind', kind: 'gpu' },
  ] as const),
})
