import { joinMesh, type Mesh } from '@shoal/sdk'
import { hostRoom } from '@shoal/sdk/node'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import type { Selection } from './arguments.ts'
import { offerBare } from './bare.ts'
import { type Lender, startLender } from './lenders.ts'
import { lenderOf, type RemotePair } from './remote.ts'
import { check, type Row, rowOf, rowsOf } from './stats.ts'
import { callTcp } from './tcp.ts'

/** Two Node processes over WebRTC. */
export async function withNodePair(
  selection: Selection,
  role: 'contributor' | 'member',
  bench: (pair: RemotePair) => Promise<Row[]>,
): Promise<Row[]> {
  return withRoom(async ({ mesh, contributorInvite, memberInvite }) => {
    const lender = await startLender(role === 'member' ? memberInvite : contributorInvite, 2)
    const connection = new RTCPeerConnection({ iceServers: [] })
    const bare = await offerBare(connection as never)
    const tcp = await callTcp(await lender.tcp())
    try {
      await bare.accept(await lender.bare(bare.offer))
      const peer = await lenderOf(mesh)
      check('The lender', peer, lender.peer)
      const { pairs, isQuick, sizesMiB } = selection
      const { service } = lender
      return await bench({
        place: 'node',
        mesh,
        peer,
        references: { bare, tcp },
        service,
        pairs,
        isQuick,
        sizesMiB,
        note: `lender is ${role}`,
      })
    } finally {
      bare.close()
      tcp.close()
      await lender.kill()
    }
  })
}

interface OpenRoom {
  readonly mesh: Mesh
  readonly memberInvite: string
  readonly contributorInvite: string
}

/** A room with one member that lends nothing: this process. */
async function withRoom<T>(work: (room: OpenRoom) => Promise<T>): Promise<T> {
  const host = await hostRoom({ page: false })
  const mesh = await joinMesh(host.memberInvite, { workers: 0, name: 'bench' })
  try {
    return await work({ mesh, memberInvite: host.memberInvite, contributorInvite: host.contributorInvite })
  } finally {
    await mesh.close()
    await host.close()
  }
}

/** Resolves when the room has this many processors. */
export async function whenProcessors(mesh: Mesh, count: number): Promise<void> {
  while (mesh.processors.length !== count) {
    await new Promise<void>((resolve) => {
      const stop = mesh.on('peers-changed', () => {
        stop()
        resolve()
      })
    })
  }
}

const sleep50 = (i: number): Promise<number> => new Promise((resolve) => setTimeout(() => resolve(i), 50))

/** Three peers with one worker each, 200 sleeps of 50 ms; one peer is killed after a second. */
export async function benchB7(): Promise<Row[]> {
  const repetitions = 3
  const seconds = { calm: [] as number[], kill: [] as number[], spare: [] as number[] }
  const assigned = { calm: 0, kill: 0, spare: 0 }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const mode of ['calm', 'kill', 'spare'] as const) {
      await withRoom(async (room) => {
        const lenders = await Promise.all([0, 1, 2].map(() => startLender(room.contributorInvite, 1)))
        await whenProcessors(room.mesh, 3)
        seconds[mode].push(await sleepers(room, lenders, mode, () => assigned[mode]++))
        await Promise.all(lenders.map((lender) => lender.kill()))
      })
    }
  }
  const rows = (metric: string, ideal: number, mode: keyof typeof seconds): Row[] => {
    const values = seconds[mode]
    const note = `assigned ${(assigned[mode] / (repetitions * 200)).toFixed(3)} times per task`
    return rowsOf(
      { bench: 'B7', place: 'node', metric, unit: 's', note },
      new Map([
        ['ideal', values.map(() => ideal)],
        ['shoal', values],
      ]),
      ['ideal'],
    ).filter(({ system }) => system === 'shoal')
  }
  return [...rows('calm', 3.35, 'calm'), ...rows('kill', 4.5, 'kill'), ...rows('kill-spare', 3.45, 'spare')]
}

async function sleepers(
  room: OpenRoom,
  lenders: readonly Lender[],
  mode: string,
  onAssigned: () => void,
): Promise<number> {
  const { mesh } = room
  // Unrecorded: the code is there and the workers are warm.
  await mesh.map(sleep50, [0, 1, 2, 3, 4, 5])
  mesh.on('task-assigned', onAssigned)
  const startedAt = performance.now()
  const tasks = Array.from({ length: 200 }, (_, i) => mesh.spawn(sleep50, i))
  const timer = setTimeout(() => {
    if (mode !== 'calm') void lenders[0]?.kill()
    // Joins the pool when the loss is seen, as a person or a supervisor would start it.
    if (mode === 'spare') mesh.on('peer-left', () => void startLender(room.contributorInvite, 1))
  }, 1000)
  const values = await Promise.all(tasks)
  clearTimeout(timer)
  check(
    'The sum',
    values.reduce((a, b) => a + b, 0),
    (200 * 199) / 2,
  )
  return (performance.now() - startedAt) / 1000
}

const sleep10 = (i: number): Promise<number> => new Promise((resolve) => setTimeout(() => resolve(i), 10))

/** `n` lending Node processes with one worker each. */
export async function benchS2Node(selection: Selection): Promise<Row[]> {
  const rows: Row[] = []
  for (const n of selection.isQuick ? [1, 4] : [1, 2, 4, 8]) {
    await withRoom(async ({ mesh, contributorInvite }) => {
      const lenders = await Promise.all(Array.from({ length: n }, () => startLender(contributorInvite, 1)))
      await whenProcessors(mesh, n)
      rows.push(...(await scaling(mesh, n, 'node', selection.isQuick)))
      await Promise.all(lenders.map((lender) => lender.kill()))
    })
  }
  return rows
}

/** 5,000 no-ops by `map`, then 50 sleeps of 10 ms for each peer. */
export async function scaling(mesh: Mesh, n: number, place: string, isQuick: boolean): Promise<Row[]> {
  const items = Array.from({ length: 5000 }, (_, i) => i)
  const perTask: number[] = []
  const efficiency: number[] = []
  for (let repetition = -1; repetition < (isQuick ? 3 : 5); repetition++) {
    const startedAt = performance.now()
    check('The last value', (await mesh.map((i: number) => i, items)).at(-1), 4999)
    const mappedAt = performance.now()
    await mesh.map(sleep10, items.slice(0, 50 * n))
    const sleptMs = performance.now() - mappedAt
    if (repetition < 0) continue
    perTask.push(((mappedAt - startedAt) * 1000) / items.length)
    efficiency.push(500 / sleptMs)
  }
  const label = { bench: 'S2', place, note: `${n} peers` }
  return [
    rowOf({ ...label, metric: `cost, ${n} peers`, unit: 'µs/task' }, 'shoal', perTask),
    rowOf({ ...label, metric: 'sleep-efficiency', unit: '' }, 'shoal', efficiency),
  ]
}
