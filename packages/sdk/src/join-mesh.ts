import { type Invite, openRoom, parseInvite, type Room, type RoomOptions } from '@shoal/mesh'
import { type Clock, createRuntime, ShoalError, type Transport } from '@shoal/scheduler'
import { createTaskInterest } from './interest.ts'
import { openMesh } from './mesh.ts'
import { checkMeshOptions } from './mesh-options.ts'
import { openPeerHost } from './peer-host.ts'
import type { Platform } from './platform.ts'
import { createServiceSlots, type PeerHost } from './processors/index.ts'
import { endOfTurn, reportBug, turnClock } from './runtime-parts.ts'
import type { Mesh, MeshOptions } from './types.ts'

/**
 * Joins the room of an invite: opens the way to its peers, proves the invite's key to them, and lends
 * this peer's workers.
 * @throws ShoalError `E_INVITE` bad link; `E_OPTION` bad options; `E_STORAGE`, `E_STORAGE_DENIED` or
 *   `E_QUOTA` the folder of `storage` cannot be used; the signal's reason when it aborts first
 */
export async function openRoomMesh(
  platform: Platform,
  text: string,
  options: MeshOptions = {},
): Promise<Mesh> {
  checkMeshOptions(options)
  const invite = parseInvite(text)
  const { signal, wrapTransport } = options
  signal?.throwIfAborted()
  const kept = await openStore(platform, invite, options.storage ?? 'auto')
  let transport: Transport | null = null
  let room: Room | null = null
  let host: PeerHost | null = null
  try {
    transport = await platform.createTransport(invite, options.listen ?? 'auto')
    if (wrapTransport !== undefined) transport = wrapTransport(transport)
    room = await openRoom({
      invite,
      transport,
      clock: platform.clock,
      openChunkDisk: platform.openChunkDisk,
      ...kept,
    })
    // Workers start on the way into the room: who gets tasks before it can run them holds them up.
    const { self: peer, operations } = room
    host = openPeerHost(platform, options, { peer, operations, resultForm: 'packed' })
    await whenOnline(transport, signal)
    await whenReady(host, platform.clock)
  } catch (error) {
    await host?.close()
    if (room !== null) await room.leave()
    else await Promise.all([transport?.close(), kept.store?.close()])
    throw error
  }
  const mesh = meshIn(room, host, platform, options)
  await endOfTurn(platform.clock)
  return mesh
}

/** A browser that keeps nothing for the page is no reason not to join; a folder that was asked for is. */
async function openStore(
  platform: Platform,
  invite: Invite,
  storage: string,
): Promise<Pick<RoomOptions, 'store' | 'storageFault'>> {
  if (storage === 'memory') return {}
  try {
    const store = await platform.openStore(invite, storage)
    return store === null ? {} : { store }
  } catch (error) {
    const isFault = error instanceof ShoalError && error.code !== 'E_OPTION'
    if (!isFault || (storage !== 'auto' && storage !== 'idb')) throw error
    return { storageFault: error }
  }
}

/** Signalling may be away for a while: the join waits for it as long as its signal allows. */
function whenOnline(transport: Transport, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  if (transport.isOnline) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const end = (): void => {
      stop()
      signal?.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      end()
      reject(signal?.reason)
    }
    const stop = transport.onOnline((isOnline) => {
      if (!isOnline) return
      end()
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** Longest wait for workers that start: one that hangs must not keep its peer out, in milliseconds. */
const readyMs = 3_000

function whenReady(host: PeerHost, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.setTimer(clock.now() + readyMs, resolve)
    void host.ready().then(() => {
      cancel()
      resolve()
    })
  })
}

function meshIn(room: Room, host: PeerHost, platform: Platform, options: MeshOptions): Mesh {
  const { clock } = platform
  const { self, role, operations, network, replica } = room
  const services = createServiceSlots({
    peer: self,
    startWorker: () => platform.startWorker(),
    operations,
    resultForm: 'packed',
  })
  const runtime = createRuntime({
    self,
    epoch: room.epoch,
    role,
    name: options.name ?? platform.name,
    clock: turnClock(clock),
    host,
    serviceHost: services,
    network,
    replica,
    chunks: room.chunks,
    onBug: reportBug,
  })
  return openMesh({
    runtime,
    operations,
    role,
    clock,
    room: room.invite.room,
    interest: createTaskInterest(runtime),
    host,
    services,
    lending: host,
    defaults: options.defaults ?? {},
    health() {
      const health = room.health()
      return { ...health, reasons: [...health.reasons, ...host.reasons()] }
    },
    onHealth: (listener) => room.onHealth(listener),
    links: () => room.links(),
    durable: (job) => room.durable(job),
    onView: (listener) => network.onView(listener),
    leave: (withinMs) => room.leave(withinMs),
  })
}
