import { joinMesh, localMesh, type Mesh } from '@shoal/sdk'
import { type Remote, wrap } from 'comlink'
import { answerBare, type Bare, offerBare } from './bare.ts'
import { comlinkSystem } from './comlink-system.ts'
import { Counter } from './counter.ts'
import { benchB9 } from './kernels.ts'
import type { Lender } from './lenders.ts'
import { benchB1, benchB1b, benchB2, benchB4 } from './local.ts'
import { noop } from './ops.ts'
import { createRaw, type RawWorker } from './raw.ts'
import { lenderOf } from './remote.ts'
import { type RemoteId, remoteBenches } from './remote-benches.ts'
import type { Row } from './stats.ts'
import { meshSystem, workersPerSystem } from './systems.ts'

/*
 * What the benchmark's driver calls in a page.
 */

interface Options {
  readonly pairs: number
  readonly isQuick: boolean
}

interface RemoteOptions extends Options {
  readonly sizesMiB: readonly number[]
}

const file = (name: string): URL => new URL(`./${name}.js`, import.meta.url)
const localBenches = { B1: benchB1, B1b: benchB1b, B2: benchB2, B4: benchB4 } as const

function startRawWorker(): RawWorker {
  const worker = new Worker(file('raw-worker.page'), { type: 'module' })
  return {
    post: (message, transfer) => worker.postMessage(message, transfer ?? []),
    onMessage: (listener) => {
      worker.onmessage = (event) => listener(event.data as never)
    },
    end: async () => worker.terminate(),
  }
}

async function local(id: keyof typeof localBenches, options: Options): Promise<Row[]> {
  const mesh = await localMesh({ workers: workersPerSystem })
  const raw = createRaw(Array.from({ length: workersPerSystem }, startRawWorker))
  const workers = Array.from(
    { length: workersPerSystem },
    () => new Worker(file('comlink-worker.page'), { type: 'module' }),
  )
  const comlink = comlinkSystem(
    workers.map((worker) => wrap(worker) as Remote<never>),
    async () => {
      for (const worker of workers) worker.terminate()
    },
  )
  const rows = await localBenches[id]({
    place: 'page',
    mesh,
    shoal: meshSystem(mesh),
    raw,
    pools: [comlink],
    ...options,
  })
  await Promise.all([mesh.close(), raw.close(), comlink.close()])
  return rows
}

/** Of the driver: makes a counter in the other page. */
declare const benchService: Lender['service']

let joined: Mesh | null = null
let bare: Bare | null = null

async function join(invite: string, workers: number): Promise<string> {
  joined = await joinMesh(invite, { workers, storage: 'memory' })
  return joined.self
}

async function remote(id: RemoteId, note: string, options: RemoteOptions): Promise<Row[]> {
  if (joined === null || bare === null) throw new Error('Cannot measure as the page must have joined')
  const peer = await lenderOf(joined)
  return remoteBenches[id]({
    place: 'rtc',
    mesh: joined,
    peer,
    references: { bare },
    service: benchService,
    note,
    ...options,
  })
}

/** From a page that has loaded to its first result of another peer, in milliseconds. */
async function firstRemote(invite: string): Promise<number> {
  const startedAt = performance.now()
  const mesh = await joinMesh(invite, { workers: 0, storage: 'memory' })
  const peer = await lenderOf(mesh)
  await mesh.with({ peer }).spawn(noop, 1)
  return performance.now() - startedAt
}

const api = {
  local,
  kernels: benchB9,
  join,
  remote,
  async service(name: string, durability: string): Promise<void> {
    await joined?.service(Counter, [], { name, durability: durability as 'none' })
  },
  firstRemote,
  async offer(): Promise<string> {
    bare = await offerBare(new RTCPeerConnection({ iceServers: [] }))
    return bare.offer
  },
  answer: (offer: string): Promise<string> =>
    answerBare(new RTCPeerConnection({ iceServers: [] }), offer, startRawWorker()),
  accept: async (answer: string): Promise<void> => bare?.accept(answer),
}

export type PageApi = typeof api

Object.assign(globalThis, { bench: api })
