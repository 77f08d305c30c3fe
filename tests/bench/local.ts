import type { Mesh } from '@shoal/sdk'
import { noop, spin } from './ops.ts'
import type { RawSystems } from './raw.ts'
import {
  type Contestant,
  check,
  collectGarbage,
  median,
  paired,
  percentile,
  type Row,
  rowsOf,
  type Samples,
} from './stats.ts'
import type { System } from './systems.ts'

/** One process or page with everything that is compared in it. */
export interface Local {
  readonly place: string
  readonly mesh: Mesh
  readonly shoal: System
  readonly raw: RawSystems
  /** Piscina, Comlink. */
  readonly pools: readonly System[]
  readonly pairs: number
  readonly isQuick: boolean
}

const count = 10_000
const total = (count * (count - 1)) / 2

export async function benchB1(local: Local): Promise<Row[]> {
  const { place, raw, shoal, pools, pairs } = local
  const contestants = [raw.rawTurn, raw.raw1, shoal, ...pools].map(
    (system): Contestant => ({
      name: system.name,
      async once() {
        const startedAt = performance.now()
        const tasks: PromiseLike<unknown>[] = []
        for (let i = 0; i < count; i++) tasks.push(system.run('noop', i))
        const values = (await Promise.all(tasks)) as number[]
        const seconds = (performance.now() - startedAt) / 1000
        check('The sum', sum(values), total)
        return count / seconds
      },
    }),
  )
  const samples = await paired(pairs, contestants)
  const best = bestOf(samples, 'piscina')
  return rowsOf({ bench: 'B1', place, metric: 'rate', unit: 'tasks/s' }, samples, ['raw-turn', ...best])
}

export async function benchB1b(local: Local): Promise<Row[]> {
  const { place, raw, mesh, pairs } = local
  const items = Array.from({ length: count }, (_, i) => i)
  const floats = Float64Array.from(items)
  const timed = (name: string, run: () => PromiseLike<ArrayLike<unknown>>): Contestant => ({
    name,
    async once() {
      const startedAt = performance.now()
      const values = await run()
      const seconds = (performance.now() - startedAt) / 1000
      check('The sum', sum(values as ArrayLike<number>), total)
      return count / seconds
    },
  })
  const lists = await paired(pairs, [
    timed('raw-map', () => raw.rawMap('noop', items)),
    timed('shoal', () => mesh.map(noop, items)),
    timed('shoal-floats', () => mesh.map(noop, floats)),
    timed('raw-floats-1024', () => raw.rawFloats(floats, 1024)),
  ])
  return rowsOf({ bench: 'B1b', place, metric: 'rate', unit: 'items/s' }, lists, [
    'raw-map',
    'raw-floats-1024',
  ])
}

export async function benchB2(local: Local): Promise<Row[]> {
  const { place, raw, shoal, pools, isQuick } = local
  return latency(
    { bench: 'B2', place },
    [raw.raw1, shoal, ...pools].map(({ name, run }) => ({ name, call: (i) => run('noop', i) })),
    { warmUp: 200 + 1000, blocks: isQuick ? 10 : 40, calls: 100 },
  )
}

export interface Caller {
  readonly name: string
  call(i: number): PromiseLike<unknown>
}

/** How long a series of awaited calls is. */
export interface Blocks {
  /** Calls of each system before the clock. */
  readonly warmUp: number
  readonly blocks: number
  /** Of each system in each block. */
  readonly calls: number
}

/** Interleaved blocks of calls one after the other; the ratio of the p50s is taken for each round of blocks. */
export async function latency(
  { bench, place }: { readonly bench: string; readonly place: string },
  callers: readonly Caller[],
  { warmUp, blocks, calls }: Blocks,
  references: readonly string[] = callers.slice(0, 1).map(({ name }) => name),
): Promise<Row[]> {
  const p50s = new Map<string, number[]>(callers.map(({ name }) => [name, []]))
  const all = new Map<string, number[]>(callers.map(({ name }) => [name, []]))
  for (const { call } of callers) for (let i = 0; i < warmUp; i++) await call(i)
  collectGarbage()
  for (let block = 0; block < blocks; block++) {
    for (let k = 0; k < callers.length; k++) {
      const { name, call } = callers[(k + block) % callers.length] as Caller
      const samples: number[] = []
      for (let i = 0; i < calls; i++) {
        const startedAt = performance.now()
        const value = await call(i)
        samples.push((performance.now() - startedAt) * 1000)
        check('The answer', value, i)
      }
      p50s.get(name)?.push(median(samples))
      all.get(name)?.push(...samples)
    }
  }
  const first = callers[0]?.name ?? ''
  const hotBelow = place === 'page' ? 45 : 30
  const base = median(all.get(first) ?? [])
  const note = place === 'rtc' || place === 'node' ? '' : `raw ${base < hotBelow ? 'hot' : 'cold'} `
  const rows = rowsOf({ bench, place, metric: 'p50', unit: 'µs' }, p50s, references)
  return rows.map((row) => ({
    ...row,
    note: `${note}p99 ${percentile(all.get(row.system) ?? [], 0.99).toFixed(0)} µs`,
  }))
}

/** Many tasks of about a millisecond, against the same work cut into two halves by hand. */
export async function benchB4(local: Local): Promise<Row[]> {
  const { place, raw, shoal, pools, isQuick, pairs } = local
  const n = calibrate()
  const rows: Row[] = []
  const sizes = isQuick
    ? [{ ms: 1, k: 200 }]
    : [
        { ms: 1, k: 800 },
        { ms: 10, k: 100 },
      ]
  for (const { ms, k } of sizes) {
    const points = n * ms
    const split: Contestant = {
      name: 'split',
      async once() {
        const startedAt = performance.now()
        const halves = [0, 1].map(() => raw.raw1.run('spinMany', [k / 2, points]))
        await Promise.all(halves)
        return performance.now() - startedAt
      },
    }
    const systems = [shoal, raw.raw1, raw.rawPull(4), ...pools].map(
      (system): Contestant => ({
        name: system.name,
        async once() {
          const startedAt = performance.now()
          await Promise.all(Array.from({ length: k }, () => system.run('spin', points)))
          return performance.now() - startedAt
        },
      }),
    )
    const times = await paired(isQuick ? pairs : Math.max(15, pairs), [split, ...systems])
    rows.push(
      ...rowsOf({ bench: 'B4', place, metric: `speed-${ms}ms`, unit: '1/s' }, inverted(times, k), ['split']),
    )
  }
  return rows
}

/** Points of `spin` that take a millisecond here. */
export function calibrate(): number {
  spin(3e6)
  // The best of many: one that the machine interrupted would make every task far too small.
  let bestMs = Number.POSITIVE_INFINITY
  for (let k = 0; k < 25; k++) {
    const startedAt = performance.now()
    spin(6e5)
    bestMs = Math.min(bestMs, performance.now() - startedAt)
  }
  return Math.round(6e5 / bestMs)
}

function inverted(times: Samples, k: number): Samples {
  return new Map([...times].map(([name, values]) => [name, values.map((ms) => (k * 1000) / ms)]))
}

function bestOf(samples: Samples, prefix: string): string[] {
  const names = [...samples.keys()].filter((name) => name.startsWith(prefix))
  names.sort((a, b) => median(samples.get(b) ?? []) - median(samples.get(a) ?? []))
  return names.slice(0, 1)
}

function sum(values: ArrayLike<number>): number {
  let all = 0
  for (let i = 0; i < values.length; i++) all += values[i] as number
  return all
}
