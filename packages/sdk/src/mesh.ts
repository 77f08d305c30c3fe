import type { Clock, JobId, Unsubscribe, ViewEvent } from '@shoal/scheduler'
import { allOf, asCompleted, waitForAll } from './collect.ts'
import { Engine, type EngineParts } from './engine.ts'
import { toJobInfo, toPeerInfo, toProcessorInfos } from './infos.ts'
import { createMeshEvents, type MeshEventHub } from './mesh-events.ts'
import { checkMapOptions } from './options.ts'
import type { ServiceSlots, WorkerHost } from './processors/index.ts'
import { endOfTurn } from './runtime-parts.ts'
import type { TaskHandle } from './task.ts'
import type { Chunk, Lending, Mesh, MeshHealth, MeshMetrics, Task, TaskGroup, TaskOptions } from './types.ts'
import { createView, type View, type Waitable } from './view.ts'

/** Longest wait for services to move before this peer goes, in milliseconds. */
const handOverMs = 2_000

/** What a mesh is built from; {@link openMesh} puts the public face on it. */
export interface MeshParts extends EngineParts {
  readonly host: Pick<WorkerHost, 'close' | 'callServices'>
  readonly services: Pick<ServiceSlots, 'closeAll' | 'callServices'>
  readonly lending: Lending
  readonly defaults: TaskOptions
  /** How this peer stands in its room; a local mesh is always well. */
  health(): Omit<MeshHealth, 'processors'>
  onHealth(listener: () => void): Unsubscribe
  /** What reaches other peers. */
  links(): MeshMetrics['links']
  onView(listener: (event: ViewEvent) => void): Unsubscribe
  /** Says goodbye and leaves, waiting this long for others to hang up; a local mesh has nothing to do. */
  leave(withinMs: number): Promise<void>
}

/** The part of a mesh that all its views share. */
interface Shared {
  readonly parts: MeshParts
  readonly engine: Engine
  readonly events: MeshEventHub
  health(): MeshHealth
  close(): Promise<void>
}

/** Puts the public face on a running peer. */
export function openMesh(parts: MeshParts): Mesh {
  const health = (): MeshHealth => ({
    ...parts.health(),
    processors: toProcessorInfos(parts.runtime.peers()).length,
  })
  const engine = new Engine(parts)
  const { runtime, onView, onHealth } = parts
  parts.host.callServices(engine.services.callFor)
  parts.services.callServices(engine.services.callFor)
  const events = createMeshEvents({ runtime, interest: parts.interest, onView, onHealth, health })
  let closing: Promise<void> | null = null
  const close = (): Promise<void> => {
    closing ??= closeParts(parts, engine, events)
    return closing
  }
  return createFace({ parts, engine, events, health, close }, createView(parts.defaults))
}

/** Longest wait for what runs here to end when this peer leaves, in milliseconds: others have to run the rest again. */
const drainMs = 200
/** Longest time for which what runs here waits for services to be handed over, in milliseconds. */
const servicesFirstMs = 60
/** Longest wait for others to take the chunks that they would lose, in milliseconds. */
const chunksMs = 2_000
/** A peer that leaves is gone after this, in milliseconds; what it ran has taken its part of it. */
const leaveMs = 280
/** Others need this long at least to hear the goodbye, in milliseconds. */
const farewellMinMs = 80

/** What has not started goes back; what runs may end, so that nobody runs it again. */
async function finishRunning({ runtime, lending, clock }: MeshParts): Promise<void> {
  void lending.lend(0)
  await atMost(clock, drainMs, runtime.drained())
  // Only now: what has just ended may have left chunks here.
  if (runtime.chunks !== null) await atMost(clock, chunksMs, runtime.chunks.leave())
}

async function closeParts(parts: MeshParts, engine: Engine, events: MeshEventHub): Promise<void> {
  const { runtime, clock } = parts
  const leavesAt = clock.now() + leaveMs
  // Sealed first: whoever takes the work over must know that nothing will be added.
  engine.seal()
  // A room that does not answer is not waited for.
  const left = new Promise<void>((resolve) => runtime.services.leave(resolve))
  const handedOver = atMost(clock, handOverMs, left)
  engine.close()
  events.stop()
  // Callers wait for services, and ending workers takes the processor that handing over needs.
  await atMost(clock, servicesFirstMs, handedOver)
  await Promise.all([finishRunning(parts), handedOver])
  // The runtime acts at the end of the turn; the room must still be there then.
  await endOfTurn(clock)
  runtime.close()
  parts.services.closeAll()
  await parts.leave(Math.max(farewellMinMs, leavesAt - clock.now()))
  await parts.host.close()
}

/** Resolves with `promise`, or after `ms`. */
function atMost(clock: Clock, ms: number, promise: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.setTimer(clock.now() + ms, resolve)
    void promise.then(() => {
      cancel()
      resolve()
    })
  })
}

const noChunks = {
  heldBytes: 0,
  memoryBytes: 0,
  diskBytes: 0,
  movedInBytes: 0,
  movedOutBytes: 0,
  relayedBytes: 0,
}

function createFace(shared: Shared, view: View): Mesh {
  const { parts, engine, events } = shared
  const { runtime } = parts
  const face: Mesh = {
    self: runtime.self,
    role: parts.role,
    get peers() {
      return runtime.peers().map(toPeerInfo)
    },
    get processors() {
      return toProcessorInfos(runtime.peers())
    },
    get workers() {
      return parts.lending.workers
    },
    lend: (workers) => parts.lending.lend(workers),
    spawn: (operation, ...args) =>
      engine.spawn(view, operation, args as readonly unknown[] as unknown[]) as TaskHandle<never>,
    map: (operation, items, options) => {
      if (options !== undefined) checkMapOptions(options)
      return engine.map(view, operation, items, options) as TaskGroup<unknown> as TaskGroup<never>
    },
    put: (value) => engine.put(value) as Promise<Chunk<never>>,
    all: (tasks) => allOf(tasks) as Promise<unknown> as Promise<never>,
    any: (tasks) => Promise.any(tasks) as Promise<never>,
    asCompleted,
    sync(body) {
      const spawned: Waitable[] = []
      const inner = createFace(shared, view.tracking(spawned))
      return waitForAll(() => body(inner), spawned)
    },
    with: (options) => createFace(shared, view.with(options)),
    on: (event, listener) => events.on(event, listener),
    service: (shape, args, options = {}) =>
      engine.services.create(shape, args, options) as Promise<unknown> as Promise<never>,
    services: engine.services,
    jobs: () => runtime.jobs().map(toJobInfo),
    task: (id) => engine.taskById(id) as Task<unknown> as Task<never>,
    group: (jobId) => engine.group(jobId as JobId) as TaskGroup<unknown> as TaskGroup<never>,
    health: shared.health,
    metrics: () => ({ chunks: { ...(runtime.chunks?.stats ?? noChunks) }, links: parts.links() }),
    explain: (subject) => runtime.story(typeof subject === 'string' ? subject : subject.id),
    close: shared.close,
    [Symbol.asyncDispose]: shared.close,
  }
  return face
}
