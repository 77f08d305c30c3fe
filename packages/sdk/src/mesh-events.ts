import type { Notice, PeerView, Runtime, Unsubscribe, ViewEvent } from '@shoal/scheduler'
import { type JobId, taskIdOf } from '@shoal/scheduler'
import { createEmitter, type Emitter } from './emitter.ts'
import { toJobInfo, toPeerInfo } from './infos.ts'
import type { TaskInterest } from './interest.ts'
import type { MeshEvents, MeshHealth } from './types.ts'

/** Where a mesh's events come from. */
export interface EventSources {
  readonly runtime: Runtime
  readonly interest: TaskInterest
  onView(listener: (event: ViewEvent) => void): Unsubscribe
  onHealth(listener: () => void): Unsubscribe
  health(): MeshHealth
}

/** The events of one mesh, and the way to stop them. */
export interface MeshEventHub {
  on<K extends keyof MeshEvents>(event: K, listener: (detail: MeshEvents[K]) => void): Unsubscribe
  stop(): void
}

/** Events that need a notice for each task. */
const perTask: ReadonlySet<keyof MeshEvents> = new Set([
  'job-changed',
  'task-assigned',
  'task-done',
  'task-failed',
  'task-cancelled',
  'task-retried',
])

/** Turns what runtime and room report into the public events. */
export function createMeshEvents(sources: EventSources): MeshEventHub {
  const emitter = createEmitter<MeshEvents>()
  const jobs = followJobs(sources.runtime, emitter)
  const stops = [
    sources.runtime.onNotice((notice) => {
      emitNotice(sources.runtime, emitter, notice)
      jobs(notice)
    }),
    sources.runtime.services.onNotice(({ type, ...notice }) => {
      if (type === 'moved') emitter.emit('service-moved', notice as MeshEvents['service-moved'])
      else emitter.emit('service-ended', notice as MeshEvents['service-ended'])
    }),
    followPeers(sources, emitter),
    sources.onHealth(() => emitter.emit('health', sources.health())),
  ]
  return {
    on(event, listener) {
      const leave = emitter.on(event, listener)
      const loseInterest = perTask.has(event) ? sources.interest.add() : null
      return () => {
        leave()
        loseInterest?.()
      }
    },
    stop() {
      for (const stop of stops) stop()
      emitter.clear()
    },
  }
}

function emitNotice(runtime: Runtime, emitter: Emitter<MeshEvents>, notice: Notice): void {
  switch (notice.type) {
    case 'owner-changed':
      emitter.emit('owner-changed', { job: notice.job, owner: notice.owner, epoch: notice.epoch })
      return
    case 'job-opened':
    case 'job-ended': {
      const job = runtime.jobs().find(({ id }) => id === notice.job)
      if (job !== undefined) emitter.emit(notice.type, toJobInfo(job))
      return
    }
    case 'job-dropped':
      return
    case 'starved':
      emitter.emit('starved', { job: notice.job, scope: notice.scope, waiting: notice.waiting })
      return
    default:
      if (!emitter.has(notice.type)) return
      emitter.emit(notice.type, {
        task: taskIdOf(notice.task),
        peer: notice.peer,
        processor: notice.processor,
      })
  }
}

/** `job-changed`, once per turn for each job that something happened in. */
function followJobs(runtime: Runtime, emitter: Emitter<MeshEvents>): (notice: Notice) => void {
  const changed = new Set<JobId>()
  return (notice) => {
    if (!emitter.has('job-changed')) return
    if (changed.size === 0) {
      queueMicrotask(() => {
        const ids = new Set(changed)
        changed.clear()
        for (const job of runtime.jobs()) if (ids.has(job.id)) emitter.emit('job-changed', toJobInfo(job))
      })
    }
    changed.add('task' in notice ? notice.task.job : notice.job)
  }
}

/** Compares the runtime's peers with those of before. Its view changes after the room's. */
function followPeers({ runtime, onView }: EventSources, emitter: Emitter<MeshEvents>): Unsubscribe {
  let before = new Map(runtime.peers().map((peer) => [peer.id as string, peer]))
  const causes = new Map<string, MeshEvents['peer-left']['cause']>()
  const stopView = onView((event) => {
    if (event.type === 'peer-left') causes.set(event.peer, event.cause)
  })
  const stopPeers = runtime.onPeers(() => {
    const now = new Map(runtime.peers().map((peer) => [peer.id as string, peer]))
    const gone = [...before.keys()].filter((id) => !now.has(id))
    const old = before
    before = now
    for (const peer of now.values()) emitPeer(emitter, old.get(peer.id), peer)
    for (const id of gone) emitter.emit('peer-left', { id, cause: causes.get(id) ?? 'dead' })
    causes.clear()
    emitter.emit('peers-changed', [...now.values()].map(toPeerInfo))
  })
  return () => {
    stopView()
    stopPeers()
  }
}

function emitPeer(emitter: Emitter<MeshEvents>, before: PeerView | undefined, peer: PeerView): void {
  if (before === undefined || before.epoch !== peer.epoch) emitter.emit('peer-joined', toPeerInfo(peer))
  if (peer.isSuspected && before?.isSuspected !== true) emitter.emit('peer-suspected', toPeerInfo(peer))
}
