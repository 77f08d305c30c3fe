import { type ChaosTransport, createChaosTransport } from '@shoal/mesh/testing'
import { type Mesh, type MeshOptions, ShoalError, type Spawnable, scope } from '@shoal/sdk'
import { hang, heapBomb, poison, type Value, type WorkItem, work } from './operations.ts'
import type { Order, PeerConfig, PeerEvent, Reading, SubmitKind, Untimed } from './orders.ts'

/**
 * Asked again this long after a job's end whether its outcomes are still the same: soon, and when those who were
 * away have been back for long.
 */
const againAfterMs = [4_000, 40_000] as const
const operations: Readonly<Record<SubmitKind, Spawnable<[WorkItem], unknown>>> = {
  work,
  hang,
  bomb: heapBomb,
  poison,
}

interface Parts {
  readonly config: PeerConfig
  readonly join: (invite: string, options: MeshOptions) => Promise<Mesh>
  readonly tell: (event: PeerEvent) => void
}

/** One peer of the run, the same in a page and in a Node process: follows every job, and does what it is told. */
export async function startPeer(parts: Parts): Promise<(order: Order) => void> {
  const { config, join } = parts
  const tell = (event: Untimed): void => parts.tell({ ...event, at: Date.now() } as PeerEvent)
  let chaos: ChaosTransport | undefined
  const mesh = await join(config.invite, {
    name: config.name,
    workers: config.workers,
    ...(config.storage === undefined ? {} : { storage: config.storage }),
    wrapTransport(own) {
      chaos = createChaosTransport(own)
      return chaos
    },
  })
  if (chaos === undefined) throw new Error('Cannot break anything as the transport was not wrapped')
  const weather: ChaosTransport = chaos
  tell({
    type: 'joined',
    peer: mesh.self,
    epoch: mesh.peers.find((peer) => peer.isSelf)?.epoch ?? 0,
    address: weather.address,
    durability: mesh.health().durability,
  })
  watch(mesh, tell)
  return (order) => obey(order, mesh, weather, config, tell)
}

function watch(mesh: Mesh, tell: (event: Untimed) => void): void {
  const followed = new Set<string>()
  const follow = (job: string): void => {
    if (followed.has(job)) return
    followed.add(job)
    void read(mesh, job, 'first', tell).then(() => {
      setTimeout(() => void read(mesh, job, 'again', tell), againAfterMs[0])
      setTimeout(() => void read(mesh, job, 'last', tell), againAfterMs[1])
    })
  }
  mesh.on('job-opened', (job) => follow(job.id))
  for (const job of mesh.jobs()) follow(job.id)
  const seen = ({ id, epoch }: { id: string; epoch: number }): void => tell({ type: 'seen', peer: id, epoch })
  mesh.on('peer-joined', seen)
  for (const peer of mesh.peers) if (!peer.isSelf) seen(peer)
  mesh.on('peer-suspected', (peer) => tell({ type: 'suspected', peer: peer.id }))
  mesh.on('peer-left', ({ id, cause }) => tell({ type: 'gone', peer: id, cause }))
  mesh.on('owner-changed', (change) => tell({ type: 'owner', ...change }))
}

async function read(
  mesh: Mesh,
  job: string,
  reading: Reading,
  tell: (event: Untimed) => void,
): Promise<void> {
  try {
    const group = mesh.group<Value>(job)
    for await (const one of group) {
      const value = one.status === 'done' ? one.value : codeOf(one.error)
      // The end of this peer is no task's.
      if (value !== 'E_CLOSED') tell({ type: 'outcome', job, index: one.index, value, reading })
    }
    if (reading === 'first') tell({ type: 'ended', job, total: group.progress.total })
  } catch (error) {
    if (codeOf(error) !== 'E_CLOSED') tell({ type: 'error', message: `job ${job}: ${String(error)}` })
  }
}

function obey(
  order: Order,
  mesh: Mesh,
  chaos: ChaosTransport,
  config: PeerConfig,
  tell: (event: Untimed) => void,
): void {
  if (order.type === 'submit') void submit(order, mesh, config, tell)
  else if (order.type === 'faults') chaos.setFaults(order.faults)
  else if (order.type === 'partition') for (const address of order.addresses) chaos.partition(address)
  else if (order.type === 'heal') chaos.heal()
  else if (order.type === 'read') for (const job of mesh.jobs()) void read(mesh, job.id, 'last', tell)
  else if (order.type === 'explain') tell({ type: 'explained', text: explain(mesh, order.job) })
  else if (order.type === 'spin') setTimeout(() => spin(order.ms))
  else {
    const from = performance.now()
    void mesh.close().then(() => tell({ type: 'left', ms: performance.now() - from }))
  }
}

/** Who is there, how the job stands, and what became of its first task that has not ended. */
function explain(mesh: Mesh, id: string): string {
  const peers = mesh.peers.map(({ name, epoch, isSuspected, processors }) => {
    return `${name}@${epoch}${isSuspected ? ' suspected' : ''} lends ${processors.length}`
  })
  const job = mesh.jobs().find((one) => one.id === id)
  const tasks = Array.from({ length: job?.total ?? 0 }, (_, index) => mesh.task(`${id}/${index}`))
  const open = tasks.find(({ status }) => status !== 'done')
  const story = open === undefined ? [] : [`${open.id} is ${open.status}`, ...open.explain()]
  return [peers.join(', '), JSON.stringify(job), ...mesh.explain(id), ...story].join('\n    ')
}

async function submit(
  order: Extract<Order, { type: 'submit' }>,
  mesh: Mesh,
  config: PeerConfig,
  tell: (event: Untimed) => void,
): Promise<void> {
  const { kind, label, count, ms, peers } = order
  const { startsUrl } = config
  const items = Array.from({ length: count }, (_, index): WorkItem => ({ index, ms, startsUrl }))
  const group = mesh.map(operations[kind], items, {
    name: label,
    ...(kind === 'hang' ? { timeoutMs: 500 } : {}),
    ...(peers === undefined ? {} : { scope: scope.union(...peers.map((peer) => scope.peer(peer))) }),
  })
  tell({ type: 'submitted', label, job: group.jobId, count })
  try {
    await group.durable()
    tell({ type: 'accepted', label, job: group.jobId, count })
  } catch (error) {
    if (codeOf(error) !== 'E_CLOSED') tell({ type: 'error', message: `submit ${label}: ${String(error)}` })
  }
}

function codeOf(error: unknown): string {
  return error instanceof ShoalError ? error.code : String(error)
}

function spin(ms: number): void {
  const endAt = performance.now() + ms
  while (performance.now() < endAt);
}
