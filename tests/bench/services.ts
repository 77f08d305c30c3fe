import type { Service, ServiceOptions } from '@shoal/sdk'
import { Counter } from './counter.ts'
import { type Blocks, type Local, latency } from './local.ts'
import { pings, type RemotePair } from './remote.ts'
import { type Contestant, check, paired, type Row, rowOf, rowsOf } from './stats.ts'

const count = 10_000

/** 10,000 calls one after the other, after 1,000 that are not recorded. */
function sequential(isQuick: boolean): Blocks {
  return { warmUp: 1000, blocks: isQuick ? 20 : 100, calls: 100 }
}

/** All at once; each answer is the one before it, plus one. */
function pipelined(name: string, counter: Service<Counter>): Contestant {
  let before = 0
  return {
    name,
    async once() {
      const startedAt = performance.now()
      const calls = Array.from({ length: count }, () => counter.incr(1))
      const answers = await Promise.all(calls)
      const seconds = (performance.now() - startedAt) / 1000
      answers.forEach((answer, i) => {
        check('The answer', answer, before + i + 1)
      })
      before += count
      return count / seconds
    },
  }
}

/** A service in a worker of this process, against one worker that echoes. */
export async function benchB6(local: Local): Promise<Row[]> {
  const { place, mesh, raw, pools, pairs, isQuick } = local
  const kept = await mesh.service(Counter, [])
  const comlink = pools.filter(({ name }) => name === 'comlink')
  const latencies = await latency(
    { bench: 'B6', place },
    [
      { name: 'raw-1', call: (i) => raw.raw1.run('noop', i) },
      { name: 'shoal', call: (i) => kept.echo(i) },
      ...comlink.map(({ name, run }) => ({ name, call: (i: number) => run('noop', i) })),
    ],
    sequential(isQuick),
    ['raw-1', ...comlink.map(({ name }) => name)],
  )
  const counter = await mesh.service(Counter, [])
  const echoes: Contestant = {
    name: 'raw-turn',
    async once() {
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: count }, (_, i) => raw.rawTurn.run('noop', i)))
      return count / ((performance.now() - startedAt) / 1000)
    },
  }
  const rates = await paired(Math.min(5, pairs), [echoes, pipelined('shoal', counter)])
  await Promise.all([kept.$.delete(), counter.$.delete()])
  return [
    ...latencies,
    ...rowsOf({ bench: 'B6', place, metric: 'rate', unit: 'calls/s' }, rates, ['raw-turn']),
  ]
}

/**
 * A service in the other process, called from here. With durability this process follows it, too: an answer
 * then waits for one more way there and back.
 */
export async function benchB6r(pair: RemotePair): Promise<Row[]> {
  const { place, isQuick, note } = pair
  const rows: Row[] = []
  for (const durability of [
    'none',
    'journal',
    'snapshot',
  ] as const satisfies ServiceOptions['durability'][]) {
    const counter = await counterOf(pair, `${durability} one`, durability)
    const label = { bench: 'B6', place }
    const callers = [...pings(pair), { name: `shoal-${durability}`, call: (i: number) => counter.echo(i) }]
    const latencies = await latency(label, callers, sequential(isQuick))
    rows.push(...latencies.map((row) => ({ ...row, note: `${note}, ${row.note}` })))
    await counter.$.delete()
    const fresh = await counterOf(pair, `${durability} two`, durability)
    const rates = await paired(3, [pipelined(`shoal-${durability}`, fresh)])
    for (const [system, values] of rates)
      rows.push(rowOf({ ...label, metric: 'rate', unit: 'calls/s', note }, system, values))
    await fresh.$.delete()
  }
  return rows
}

async function counterOf(
  { mesh, service }: RemotePair,
  name: string,
  durability: string,
): Promise<Service<Counter>> {
  await service(name, durability)
  // Its maker is told beside the room: the record may be on its way still.
  while (!mesh.services.list().some((one) => one.name === name))
    await new Promise((resolve) => setTimeout(resolve, 1))
  return mesh.services.lookup<Counter>(name)
}
