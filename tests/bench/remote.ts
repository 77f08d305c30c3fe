import type { Mesh } from '@shoal/sdk'
import type { Bare, Channel } from './bare.ts'
import type { Lender } from './lenders.ts'
import { latency } from './local.ts'
import { noop } from './ops.ts'
import { type Contestant, check, paired, type Row, rowsOf } from './stats.ts'

/** Two processes: this one spawns, the other one lends two workers. */
export interface RemotePair {
  readonly place: string
  readonly mesh: Mesh
  /** The other process's peer. */
  readonly peer: string
  readonly references: References
  /** Makes a counter in the other process. */
  readonly service: Lender['service']
  readonly pairs: number
  readonly isQuick: boolean
  readonly sizesMiB: readonly number[]
  /** What the other one is: `contributor` or `member`. */
  readonly note: string
}

/** What the ways between the two processes can do with nothing on top. */
interface References {
  readonly bare: Bare
  /** Between Node processes. */
  readonly tcp?: Channel
}

function eachReference({ references }: RemotePair): [name: string, channel: Channel][] {
  return Object.entries(references) as [string, Channel][]
}

interface Ping {
  readonly name: string
  call(i: number): Promise<number>
}

/** One message there and back, over each reference; and over the bare one with a worker at its far end. */
export function pings(pair: RemotePair): Ping[] {
  const { bare } = pair.references
  const named = (name: string, there: () => Promise<void>): Ping => ({
    name,
    async call(i) {
      await there()
      return i
    },
  })
  const each = eachReference(pair).map(([name, channel]) => named(name, channel.ping))
  return [...each, named('bare-hop', bare.hop)]
}

/** Resolves when a peer with workers is there; gives its id. */
export async function lenderOf(mesh: Mesh): Promise<string> {
  for (;;) {
    const found = mesh.peers.find((peer) => !peer.isSelf && peer.processors.length > 0)
    if (found !== undefined) return found.id
    await new Promise<void>((resolve) => {
      const stop = mesh.on('peers-changed', () => {
        stop()
        resolve()
      })
    })
  }
}

const count = 10_000

export async function benchB1r(pair: RemotePair): Promise<Row[]> {
  const { place, peer, references, note, isQuick } = pair
  const { bare, tcp } = references
  const there = pair.mesh.with({ peer })
  const contestants: Contestant[] = [
    { name: 'bare-batched', once: () => bare.batched(200) },
    ...(tcp === undefined ? [] : [{ name: 'tcp-batched', once: () => tcp.batched(200) }]),
    { name: 'bare-each', once: () => bare.each(isQuick ? 1000 : 5000) },
    {
      name: 'shoal',
      async once() {
        const startedAt = performance.now()
        const tasks: PromiseLike<unknown>[] = []
        for (let i = 0; i < count; i++) tasks.push(there.spawn(noop, i))
        const values = (await Promise.all(tasks)) as number[]
        const seconds = (performance.now() - startedAt) / 1000
        check(
          'The sum',
          values.reduce((a, b) => a + b, 0),
          (count * (count - 1)) / 2,
        )
        return count / seconds
      },
    },
  ]
  const samples = await paired(Math.min(5, pair.pairs), contestants)
  const rows = rowsOf({ bench: 'B1r', place, metric: 'rate', unit: 'tasks/s', note }, samples, [
    'bare-batched',
    'tcp-batched',
  ])
  const own = rows.find((row) => row.system === 'shoal') as Row
  return [
    ...rows,
    { ...own, metric: 'rate-floor', ratioTo: null, ratio: null, ratioMin: null, ratioMax: null },
  ]
}

export async function benchB2r(pair: RemotePair): Promise<Row[]> {
  const { place, peer, isQuick, note } = pair
  const there = pair.mesh.with({ peer })
  const callers = [...pings(pair), { name: 'shoal', call: (i: number) => there.spawn(noop, i) }]
  const rows = await latency({ bench: 'B2r', place }, callers, {
    warmUp: 200 + 1000,
    blocks: isQuick ? 10 : 25,
    calls: 100,
  })
  return rows.map((row) => ({ ...row, note: `${note}, ${row.note}` }))
}

export async function benchB5(pair: RemotePair): Promise<Row[]> {
  const { place, peer, isQuick, note } = pair
  const there = pair.mesh.with({ peer })
  const rows: Row[] = []
  for (const mebibytes of pair.sizesMiB) {
    const bytes = mebibytes * 2 ** 20
    const value = new Uint8Array(bytes).fill(1)
    const timed = (name: string, run: () => PromiseLike<number>): Contestant => ({
      name,
      async once() {
        const startedAt = performance.now()
        check('The size', await run(), bytes)
        return bytes / 1e6 / ((performance.now() - startedAt) / 1000)
      },
    })
    const label = { bench: 'B5', place, unit: 'MB/s', note }
    // Each way against the bare channel the same way: the two ends are not equally busy.
    const [repetitions, budgetMs] = isQuick ? [3, 15_000] : [5, 60_000]
    const argument = [
      ...eachReference(pair).map(([name, channel]) => ({ name, once: () => channel.bulk(bytes) })),
      timed('shoal-argument', () => there.spawn((given: Uint8Array) => given.length, value)),
    ]
    const sent = await paired(repetitions, argument, budgetMs)
    const result = [
      ...eachReference(pair).map(([name, channel]) => ({ name, once: () => channel.pull(bytes) })),
      timed('shoal-result', async () => {
        const made = await there.spawn((size: number) => new Uint8Array(size).fill(1), bytes)
        return made.length
      }),
    ]
    const received = await paired(repetitions, result, budgetMs)
    rows.push(...rowsOf({ ...label, metric: `${mebibytes} MiB there` }, sent, ['bare', 'tcp']))
    rows.push(...rowsOf({ ...label, metric: `${mebibytes} MiB back` }, received, ['bare', 'tcp']))
  }
  return rows
}
