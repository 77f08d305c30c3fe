import type { ChunkStore, Clock, Replica, Runtime, RuntimeOptions } from '../../index.ts'
import type { History } from './checks.ts'
import { createGate, createPeerClock, type Gate, type SimLoop } from './clock.ts'
import type { Endpoint, SimNetwork } from './network.ts'
import { createSimHost, type HostProbe, type SimHost } from './processor.ts'
import { simChunkFromBytes } from './program.ts'
import type { SimPost, SimReplica, SimReplicaFactory } from './replica.ts'
import { mix, type SimRng } from './rng.ts'
import type { PeerShape } from './shape.ts'
import type { SimDisk } from './store.ts'
import type { Trace } from './trace.ts'

/** Changes what one peer's runtime is given: how test code plants a bug. */
export type SimMutation = (options: RuntimeOptions, peer: number, rng: SimRng) => RuntimeOptions

/** One start of one peer. */
export interface SimPeer {
  readonly index: number
  /** 0 for the first start. */
  readonly incarnation: number
  readonly gate: Gate
  readonly endpoint: Endpoint
  readonly clock: Clock
  readonly host: SimHost
  readonly runtime: Runtime
  readonly replica: SimReplica | null
}

export interface PeerParts {
  readonly loop: SimLoop
  readonly net: SimNetwork
  readonly rng: SimRng
  readonly trace: Trace
  readonly history: History
  readonly probe: HostProbe
  readonly post: SimPost
  readonly step: NonNullable<RuntimeOptions['step']>
  readonly createRuntime: (options: RuntimeOptions) => Runtime
  readonly createReplica: SimReplicaFactory
  readonly mutate: SimMutation | null
  /** `null`: values never become chunks. */
  readonly openChunks: ((endpoint: Endpoint) => ChunkStore) | null
}

/** Starts a peer: its ports, then the real runtime on top of them. */
export function startPeer(
  parts: PeerParts,
  shape: PeerShape,
  index: number,
  incarnation: number,
  epoch: number,
  disk: SimDisk,
): SimPeer {
  const { loop, net, trace, history } = parts
  const rng = parts.rng.fork(`${shape.id}@${incarnation}`)
  const gate = createGate(index)
  const clock = createPeerClock(loop, gate, shape.clockOffsetMs + incarnation * 1000, shape.clockRate)
  const endpoint = net.attach(index, shape.id, shape.role, gate, epoch)
  const host = createSimHost(
    { index, id: shape.id },
    shape.processors,
    loop,
    gate,
    rng.fork('host'),
    parts.probe,
  )
  history.started(index)
  const replica =
    shape.role === 'contributor'
      ? null
      : parts.createReplica({
          self: shape.id,
          epoch,
          clientId: mix(mix(index, incarnation), Math.floor(rng.next() * 2 ** 32)) >>> 1,
          network: net.replicaPort(endpoint),
          clock,
          rng: rng.fork('replica'),
          store: disk,
          post: parts.post,
        })
  let options: RuntimeOptions = {
    self: shape.id,
    epoch,
    role: shape.role,
    name: shape.id,
    clock,
    host,
    network: net.port(endpoint),
    replica: replica === null ? null : probed(replica, index, shape, trace, history),
    step: parts.step,
    onBug: (error) =>
      history.violate('bug', `${shape.id}: ${error instanceof Error ? error.stack : String(error)}`),
  }
  if (parts.openChunks !== null) {
    const config = { chunkFromBytes: simChunkFromBytes }
    options = { ...options, chunks: parts.openChunks(endpoint), config }
  }
  const mutated = parts.mutate === null ? options : parts.mutate(options, index, rng.fork('mutation'))
  const runtime = parts.createRuntime(mutated)
  runtime.onSettled((ref, outcome) => {
    trace.event('s', index, ref.no, () => `${ref.job}/${ref.no} ${outcome.status}`)
    history.settled(index, ref, outcome)
  })
  return { index, incarnation, gate, endpoint, clock, host, runtime, replica }
}

/** The replica port, with the history and the log looking on. */
function probed(replica: Replica, index: number, shape: PeerShape, trace: Trace, history: History): Replica {
  return {
    write(records) {
      trace.event('w', index, records.length, () => records.map(describeRecord).join('; '))
      history.wrote(index, shape.id, records)
      replica.write(records)
    },
    onRecords: (listener) =>
      replica.onRecords((records) => {
        trace.event('r', index, records.length, () => records.map(describeRecord).join('; '))
        history.arrived(index, records)
        listener(records)
      }),
    dropJob(job) {
      trace.event('w', index, job.length, () => `drop ${job}`)
      replica.dropJob(job)
    },
    close: () => replica.close(),
  }
}

function describeRecord(record: Parameters<Replica['write']>[0][number]): string {
  const by = 'by' in record ? ` by ${record.by}` : ''
  switch (record.type) {
    case 'claim':
      return `claim ${record.job}@${record.epoch}${by}`
    case 'specs':
      return `specs ${record.job} ${record.specs.map((spec) => `#${spec.no}`).join(' ')}`
    case 'outcomes':
      return `outcomes ${record.job}@${record.epoch}${by} ${record.outcomes.map(({ no, outcome }) => `#${no}=${outcome.status}`).join(' ')}`
    default:
      return `${record.type}${'job' in record ? ` ${record.job}` : ''}${by}`
  }
}
