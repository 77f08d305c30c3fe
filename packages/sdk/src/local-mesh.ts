import {
  createRuntime,
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  ShoalError,
} from '@shoal/scheduler'
import { createTaskInterest } from './interest.ts'
import { createLocalChunks } from './local-chunks.ts'
import { openMesh } from './mesh.ts'
import { checkMeshOptions } from './mesh-options.ts'
import { openPeerHost } from './peer-host.ts'
import type { Platform } from './platform.ts'
import { createServiceSlots } from './processors/index.ts'
import { endOfTurn, reportBug, turnClock } from './runtime-parts.ts'
import type { Mesh, MeshOptions } from './types.ts'

/**
 * Opens a mesh of one peer: its own workers, no network, nothing replicated.
 * @throws ShoalError `E_OPTION` bad options; the signal's reason when it aborts before the mesh is open
 */
export async function openLocalMesh(platform: Platform, options: MeshOptions = {}): Promise<Mesh> {
  checkMeshOptions(options)
  options.signal?.throwIfAborted()
  const self = localPeerId()
  const operations = createLocalOperations()
  const { clock } = platform
  const host = openPeerHost(platform, options, {
    peer: self,
    operations,
    resultForm: 'live',
    failsUnstarted: true,
  })
  const services = createServiceSlots({
    peer: self,
    startWorker: () => platform.startWorker(),
    operations,
    resultForm: 'live',
  })
  const runtime = createRuntime({
    self,
    epoch: 1,
    role: 'member',
    name: options.name ?? platform.name,
    clock: turnClock(clock),
    host,
    serviceHost: services,
    network: null,
    replica: null,
    chunks: createLocalChunks(self),
    // Values of one process stay as they are.
    config: { chunkFromBytes: Number.POSITIVE_INFINITY },
    onBug: reportBug,
  })
  const mesh = openMesh({
    runtime,
    operations,
    role: 'member',
    clock,
    room: null,
    interest: createTaskInterest(runtime),
    host,
    services,
    lending: host,
    defaults: options.defaults ?? {},
    health: () => ({ isOnline: true, peers: 1, members: 1, durability: 'memory', reasons: host.reasons() }),
    durable: null,
    onHealth: () => () => {},
    links: () => [],
    onView: () => () => {},
    leave: () => Promise.resolve(),
  })
  await endOfTurn(clock)
  return mesh
}

/** Nobody else sees it, so it need not be derived from a key. */
function localPeerId(): PeerId {
  const bytes = crypto.getRandomValues(new Uint8Array(10))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('') as PeerId
}

/** The operations of a peer that is alone: all of them were made here. */
function createLocalOperations(): OperationStore {
  const known = new Map<OperationHash, OperationRecord>()
  return {
    add: (operation) => void known.set(operation.hash, operation),
    get: (hash) => known.get(hash) ?? null,
    fetch(hash) {
      const reason = `Cannot run operation "${hash}" as its code must be known here: current value is unknown`
      return Promise.reject(new ShoalError('E_NO_FUNCTION', reason))
    },
  }
}
