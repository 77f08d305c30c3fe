import { localMesh } from '@shoal/sdk'
import { isChosen, type Selection } from './arguments.ts'
import { benchB5c } from './chunks.ts'
import { benchCounts, benchS2Memory } from './counters.ts'
import { benchB1, benchB1b, benchB2, benchB4, type Local } from './local.ts'
import { comlinkNode, piscina } from './node-workers.ts'
import { benchFirstRemote, benchKernels, benchPage, benchRtc } from './pages.ts'
import { createRaw } from './raw.ts'
import { type RemoteId, remoteBenches } from './remote-benches.ts'
import { benchB7, benchS2Node, withNodePair } from './rooms.ts'
import { benchB6 } from './services.ts'
import { startRawWorker } from './start-raw.node.ts'
import { benchB8 } from './start-up.ts'
import type { Row } from './stats.ts'
import { meshSystem, workersPerSystem } from './systems.ts'

/** One stage of a run: everything in it shares its set-up. */
export interface Stage {
  readonly ids: readonly string[]
  run(): Promise<Row[]>
}

const remoteIds: readonly RemoteId[] = ['B1r', 'B2r', 'B5', 'B6']

const localBenches = { B1: benchB1, B1b: benchB1b, B2: benchB2, B4: benchB4, B6: benchB6 } as const

export function runNode(selection: Selection): Stage[] {
  const stages: Stage[] = []
  for (const [id, bench] of Object.entries(localBenches)) {
    if (isChosen(selection, id, 'local'))
      stages.push({ ids: [`${id} local`], run: () => withLocal(selection, bench) })
  }
  if (isChosen(selection, 'B8', 'local'))
    stages.push({ ids: ['B8 local'], run: () => benchB8(selection.pairs) })
  if (isChosen(selection, 'counts', 'local')) stages.push({ ids: ['counts'], run: benchCounts })
  if (isChosen(selection, 'S2', 'local'))
    stages.push({ ids: ['S2 local'], run: () => benchS2Memory(selection.isQuick) })
  for (const id of remoteIds) {
    for (const role of rolesOf(id)) {
      if (isChosen(selection, id, 'node'))
        stages.push({
          ids: [`${id} node, lender is ${role}`],
          run: () => withNodePair(selection, role, remoteBenches[id]),
        })
    }
  }
  if (isChosen(selection, 'B5c', 'node')) stages.push({ ids: ['B5c node'], run: () => benchB5c(selection) })
  stages.push(...runPages(selection))
  if (isChosen(selection, 'B7', 'node')) stages.push({ ids: ['B7 node'], run: benchB7 })
  if (isChosen(selection, 'S2', 'node')) stages.push({ ids: ['S2 node'], run: () => benchS2Node(selection) })
  return stages
}

/** What the other process is. Only members host services. */
function rolesOf(id: RemoteId): readonly ('contributor' | 'member')[] {
  return id === 'B6' ? ['member'] : ['contributor', 'member']
}

function runPages(selection: Selection): Stage[] {
  const stages: Stage[] = []
  for (const id of ['B1', 'B1b', 'B2', 'B4'] as const) {
    if (isChosen(selection, id, 'page'))
      stages.push({ ids: [`${id} page`], run: () => benchPage(id, selection) })
  }
  for (const id of remoteIds) {
    for (const role of rolesOf(id)) {
      if (isChosen(selection, id, 'rtc'))
        stages.push({ ids: [`${id} rtc, lender is ${role}`], run: () => benchRtc(id, role, selection) })
    }
  }
  if (isChosen(selection, 'B9', 'page')) stages.push({ ids: ['B9 page'], run: () => benchKernels(selection) })
  if (isChosen(selection, 'B8', 'page'))
    stages.push({ ids: ['B8 page'], run: () => benchFirstRemote(selection) })
  return stages
}

async function withLocal(selection: Selection, bench: (local: Local) => Promise<Row[]>): Promise<Row[]> {
  const mesh = await localMesh({ workers: workersPerSystem })
  const raw = createRaw(Array.from({ length: workersPerSystem }, startRawWorker))
  const pools = selection.hasPeers ? [piscina(1), piscina(64), comlinkNode()] : []
  const { pairs, isQuick } = selection
  try {
    return await bench({ place: 'local', mesh, shoal: meshSystem(mesh), raw, pools, pairs, isQuick })
  } finally {
    await Promise.all([mesh.close(), raw.close(), ...pools.map((pool) => pool.close())])
  }
}
