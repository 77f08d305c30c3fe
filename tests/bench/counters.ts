import { createHook } from 'node:async_hooks'
import { localMesh } from '@shoal/sdk'
import { type Counts, countTransactions, memoryRoom } from './memory-room.ts'
import { noop } from './ops.ts'
import { scaling, whenProcessors } from './rooms.ts'
import { type Row, rowOf } from './stats.ts'

const label = { bench: 'counts', place: 'local', unit: 'per 1,000' } as const

/** What a thousand tasks cost besides time. Exact, so one repetition says it. */
export async function benchCounts(): Promise<Row[]> {
  return [...(await promiseCounts()), ...(await documentCounts())]
}

async function promiseCounts(): Promise<Row[]> {
  const mesh = await localMesh({ workers: 2 })
  let promises = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'PROMISE') promises++
    },
  })
  const items = Array.from({ length: 1000 }, (_, i) => i)
  await mesh.map(noop, items)
  const counted = async (metric: string, note: string, work: () => PromiseLike<unknown>): Promise<Row> => {
    promises = 0
    hook.enable()
    await work()
    hook.disable()
    return rowOf({ ...label, metric, note }, 'shoal', [promises])
  }
  const rows = [
    await counted('promises of spawn, nobody waits', '', async () => {
      const tasks = items.map((i) => mesh.spawn(noop, i))
      await tasks.at(-1)?.wait()
    }),
    await counted('promises of map', '', () => mesh.map(noop, items)),
  ]
  await mesh.close()
  return rows
}

async function documentCounts(): Promise<Row[]> {
  const transactions = countTransactions()
  const room = await memoryRoom()
  const owner = await room.join('member', 0)
  const lender = await room.join('contributor', 2)
  const keeper = await room.join('member', 0)
  const { mesh, counts } = owner
  await whenProcessors(mesh, 2)
  const items = Array.from({ length: 10_000 }, (_, i) => i)
  const rows: Row[] = []
  const counted = async (what: string, work: () => PromiseLike<unknown>): Promise<void> => {
    await work()
    const before = { ...counts }
    const [sentBefore, writesBefore] = [lender.counts.messageFrames, transactions()]
    await work()
    // What is gathered for the documents and for the commits leaves a little later.
    await new Promise((resolve) => setTimeout(resolve, 300))
    const per = (value: number): number[] => [(value * 1000) / items.length]
    const since = (key: keyof Counts): number[] => per(counts[key] - before[key])
    const row = (metric: string, values: number[], note = ''): void => {
      rows.push(rowOf({ ...label, metric: `${what}: ${metric}`, note }, 'shoal', values))
    }
    row('document transactions', per(transactions() - writesBefore), 'of all three peers')
    row('document bytes sent', since('replicaBytes'), 'to one other member')
    row('frames to the lender', since('messageFrames'))
    row('frames from the lender', per(lender.counts.messageFrames - sentBefore))
    row('bytes to the lender', since('messageBytes'))
    row('timers armed', since('timersArmed'), 'heartbeats included')
  }
  await counted('spawn', () => Promise.all(items.map((i) => mesh.spawn(noop, i))))
  await counted('map', () => mesh.map(noop, items))
  await Promise.all([owner, lender, keeper].map((peer) => peer.mesh.close()))
  return rows
}

/** Up to 16 peers with one worker each, in one process. */
export async function benchS2Memory(isQuick: boolean): Promise<Row[]> {
  const rows: Row[] = []
  for (const n of isQuick ? [2, 16] : [1, 2, 4, 8, 16]) {
    const room = await memoryRoom()
    const owner = await room.join('member', 0)
    const lenders = await Promise.all(Array.from({ length: n }, () => room.join('contributor', 1)))
    await whenProcessors(owner.mesh, n)
    rows.push(...(await scaling(owner.mesh, n, 'local', isQuick)))
    await Promise.all([owner, ...lenders].map((peer) => peer.mesh.close()))
  }
  return rows
}
