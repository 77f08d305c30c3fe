import type { Call, Effect, Notice } from '../core/effects.ts'
import type { CallEnded, Event } from '../core/events.ts'
import { outcomeAt, specsOf } from '../core/slices.ts'
import { createState, findTask, type SchedulerState, tasksOf, wakeAtOf } from '../core/state.ts'
import { step } from '../core/step.ts'
import { type JobId, type PeerId, parseTaskId, type TaskRef } from '../model/ids.ts'
import type { RangeValues } from '../model/payload.ts'
import type { Outcome } from '../model/task.ts'
import type { Unsubscribe } from '../ports.ts'
import { type BodyDesk, createBodyDesk } from './bodies.ts'
import { type ChunkDesk, createChunkDesk } from './chunks.ts'
import { createServiceDesk, type ServiceDesk } from './services.ts'
import type { JobView, PeerView, Runtime, RuntimeOptions, TaskStatus } from './types.ts'

interface SettledListener {
  one(ref: TaskRef, outcome: Outcome): void
  slice(ref: TaskRef, count: number, outcome: Outcome): void
}

/** Everything that one runtime keeps; the functions below are its parts. */
interface Loop {
  readonly options: RuntimeOptions
  readonly state: SchedulerState
  readonly step: typeof step
  readonly queue: Event[]
  readonly bodies: BodyDesk
  readonly settledListeners: Set<SettledListener>
  readonly noticeListeners: Set<(notice: Notice) => void>
  readonly peerListeners: Set<() => void>
  readonly desk: ServiceDesk
  /** Told when nothing is held here. */
  readonly drainListeners: Set<() => void>
  readonly chunkDesk: ChunkDesk | null
  /** Made once: every event asks for it. */
  readonly pump: () => void
  isArmed: boolean
  isClosed: boolean
  timerAt: number
  cancelTimer: () => void
}

/**
 * The loop around the pure core: port callbacks become events, events go through `step` one at a
 * time at the end of the turn, effects go back to the ports, in order.
 */
export function createRuntime(options: RuntimeOptions): Runtime {
  const { clock } = options
  const state = createState({
    ...options,
    isReplicated: options.replica !== null,
    config: options.config ?? {},
  })
  const loop: Loop = {
    options,
    state,
    desk: createServiceDesk(state.services, clock.now, (event) => enqueue(loop, event)),
    chunkDesk: openChunkDesk(options, state, (event) => enqueue(loop, event)),
    step: options.step ?? step,
    queue: [],
    bodies: createBodyDesk({
      ...options,
      chunks: () => loop.chunkDesk?.chunks ?? null,
      enqueue: (event) => enqueue(loop, event),
    }),
    settledListeners: new Set(),
    noticeListeners: new Set(),
    peerListeners: new Set(),
    drainListeners: new Set(),
    pump: () => pump(loop),
    isArmed: false,
    isClosed: false,
    timerAt: Number.POSITIVE_INFINITY,
    cancelTimer: () => undefined,
  }
  const unsubscribes = connectPorts(loop)
  return {
    self: options.self,
    submit: (job, name, specs) =>
      enqueue(loop, { type: 'tasks-submitted', at: clock.now(), job, name, specs }),
    submitRange: (job, name, range) =>
      enqueue(loop, { type: 'range-submitted', at: clock.now(), job, name, range }),
    seal: (job) => enqueue(loop, { type: 'job-sealed', at: clock.now(), job }),
    watch: (refs) => enqueue(loop, { type: 'tasks-watched', at: clock.now(), refs }),
    cancel: (job, nos, reason) =>
      enqueue(loop, { type: 'tasks-cancelled', at: clock.now(), job, nos, reason }),
    onSettled: (one, onSlice) => {
      const slice = onSlice ?? ((ref, count, outcome) => eachOf(ref, count, outcome, one))
      return subscribe(loop.settledListeners, { one, slice })
    },
    onNotice: (listener) => subscribe(loop.noticeListeners, listener),
    watchTaskNotices: (isWanted) => {
      loop.state.wantsTaskNotices = isWanted
    },
    onPeers: (listener) => subscribe(loop.peerListeners, listener),
    peers: () => viewPeers(loop.state),
    jobs: () => viewJobs(loop.state),
    tasksOf: (id) => {
      const job = loop.state.jobs.get(id)
      return job === undefined ? [] : [...tasksOf(job)].flatMap(specsOf)
    },
    outcomeOf: (ref) => {
      const task = findTask(loop.state, ref)
      return task === undefined ? null : outcomeAt(task, ref.no)
    },
    statusOf: (ref): TaskStatus => findTask(loop.state, ref)?.status ?? 'unknown',
    story: (key) => storyOf(loop.state, key),
    services: loop.desk.services,
    chunks: loop.chunkDesk?.chunks ?? null,
    state: loop.state,
    drained: () =>
      new Promise((resolve) => {
        loop.drainListeners.add(resolve)
        tellDrained(loop)
      }),
    close: () => {
      loop.isClosed = true
      loop.cancelTimer()
      for (const unsubscribe of unsubscribes) unsubscribe()
      loop.chunkDesk?.close()
      loop.queue.length = 0
    },
  }
}

function subscribe<T>(listeners: Set<T>, listener: T): Unsubscribe {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function connectPorts(loop: Loop): Unsubscribe[] {
  const { host, network, replica, clock, serviceHost } = loop.options
  const unsubscribes = [
    host.onEnded((ended) => onEnded(loop, ended)),
    host.onProcessors((processors) =>
      enqueue(loop, { type: 'processors-changed', at: clock.now(), processors }),
    ),
    host.onBody(loop.bodies.ask),
  ]
  if (serviceHost !== undefined) {
    unsubscribes.push(
      serviceHost.onNews((news) => enqueue(loop, { type: 'services-told', at: clock.now(), news })),
      serviceHost.onBody(loop.bodies.ask),
    )
  }
  if (network !== null) {
    unsubscribes.push(
      network.onMessage((from, message) =>
        enqueue(loop, { type: 'message-received', at: clock.now(), from, message }),
      ),
      network.onView((event) => enqueue(loop, { ...event, at: clock.now() })),
    )
  }
  if (replica !== null) {
    unsubscribes.push(
      replica.onRecords((records) => enqueue(loop, { type: 'records-arrived', at: clock.now(), records })),
    )
  }
  enqueue(loop, { type: 'processors-changed', at: clock.now(), processors: host.processors })
  return unsubscribes
}

function openChunkDesk(
  options: RuntimeOptions,
  state: SchedulerState,
  enqueue: (event: Event) => void,
): ChunkDesk | null {
  const { self, epoch, clock, chunks: store } = options
  if (store === undefined) return null
  const callOf = (callId: number): Call | undefined => state.executor.calls.get(callId)?.call
  return createChunkDesk({ self, epoch, store, clock, config: state.config, callOf, enqueue })
}

/** Results that are big are put away first; the others do not wait for them. */
function onEnded(loop: Loop, ended: readonly CallEnded[]): void {
  const kept = loop.chunkDesk === null ? ended : loop.chunkDesk.keep(ended)
  const tell = (all: readonly CallEnded[]): void =>
    enqueue(loop, { type: 'calls-ended', at: loop.options.clock.now(), ended: all })
  if (kept instanceof Promise) void kept.then(tell)
  else tell(kept)
}

/** Takes an event; the loop runs at the end of the turn, so that a burst is one pass. */
function enqueue(loop: Loop, event: Event): void {
  if (loop.isClosed) return
  loop.queue.push(event)
  if (loop.isArmed) return
  loop.isArmed = true
  loop.options.clock.defer(loop.pump)
}

const peerEvents: ReadonlySet<Event['type']> = new Set([
  'peer-joined',
  'peer-left',
  'peer-suspected',
  'peer-trusted',
  'processors-changed',
])

function pump(loop: Loop): void {
  loop.isArmed = false
  let havePeersChanged = false
  for (let event = loop.queue.shift(); event !== undefined && !loop.isClosed; event = loop.queue.shift()) {
    if (event.type === 'services-asked') loop.desk.seal()
    try {
      const effects = loop.step(loop.state, event)
      for (const effect of effects) perform(loop, effect)
    } catch (error) {
      loop.options.onBug(error)
    }
    havePeersChanged ||= peerEvents.has(event.type) || isProfile(event)
  }
  if (loop.isClosed) return
  armTimer(loop)
  tellDrained(loop)
  if (havePeersChanged) for (const listener of loop.peerListeners) listener()
}

/** A result is held until its owner has acknowledged it. */
function tellDrained({ drainListeners, state }: Loop): void {
  if (drainListeners.size === 0) return
  const isAlone = state.peers.size === 1
  if (!isAlone && [...state.executor.jobs.values()].some(({ held }) => held.size > 0)) return
  for (const listener of drainListeners) listener()
  drainListeners.clear()
}

function isProfile(event: Event): boolean {
  if (event.type === 'message-received') return event.message.type === 'profile'
  return event.type === 'records-arrived' && event.records.some((record) => record.type === 'profile')
}

function armTimer(loop: Loop): void {
  const at = wakeAtOf(loop.state)
  if (at === loop.timerAt) return
  loop.cancelTimer()
  loop.timerAt = at
  if (at === Number.POSITIVE_INFINITY) return
  loop.cancelTimer = loop.options.clock.setTimer(at, () => {
    loop.timerAt = Number.POSITIVE_INFINITY
    enqueue(loop, { type: 'time-passed', at: loop.options.clock.now() })
  })
}

/** Carries out one effect. Each ending of `execute` comes back as an event through the port. */
function perform(loop: Loop, effect: Effect): void {
  const { host, network, replica, serviceHost } = loop.options
  switch (effect.type) {
    case 'send':
      network?.send(effect.to, effect.message)
      return
    case 'execute':
      host.execute(effect.processor, loop.chunkDesk?.feed(effect.calls) ?? effect.calls)
      return
    case 'gather':
    case 'stop-gather':
    case 'drop-chunk':
    case 'chunk-located':
    case 'fetch-chunk':
    case 'chunks-left':
      loop.chunkDesk?.perform(effect)
      return
    case 'abort-calls':
      host.abort(effect.processor, effect.calls)
      return
    case 'write':
      replica?.write(effect.records)
      return
    case 'settle':
      for (const { ref, outcome } of effect.outcomes) settle(loop, ref, outcome)
      return
    case 'settle-slice':
      settleSlice(loop, effect.ref, effect.count, effect.outcome)
      return
    case 'children-accepted':
      host.childrenAccepted(effect.job, effect.parent, effect.accepted)
      return
    case 'drop-job':
      replica?.dropJob(effect.job)
      return
    case 'prepare-service':
      serviceHost?.prepare(effect.spec, effect.from)
      return
    case 'unprepare-service':
      serviceHost?.unprepare(effect.service)
      return
    case 'open-service':
      serviceHost?.open(effect.instance, effect.spec, effect.state)
      return
    case 'run-service':
      serviceHost?.run(effect.instance, effect.calls)
      return
    case 'snapshot-service':
      serviceHost?.snapshot(effect.instance, effect.seq)
      return
    case 'close-service':
      serviceHost?.close(effect.instance)
      return
    case 'answer-requests':
      loop.desk.answer(effect.answers)
      return
    case 'notify-service':
      loop.desk.notify(effect.notice)
      return
    case 'services-left':
      loop.desk.left()
      return
    case 'notify':
      for (const listener of loop.noticeListeners) listener(effect.notice)
  }
}

function settle(loop: Loop, ref: TaskRef, outcome: Outcome): void {
  for (const listener of loop.settledListeners) listener.one(ref, outcome)
  loop.bodies.settled(ref, outcome)
}

function settleSlice(loop: Loop, ref: TaskRef, count: number, outcome: Outcome): void {
  for (const listener of loop.settledListeners) listener.slice(ref, count, outcome)
  if (loop.bodies.isWatching) eachOf(ref, count, outcome, loop.bodies.settled)
}

/** Takes the tasks of a slice one by one. */
function eachOf(
  { job, no }: TaskRef,
  count: number,
  outcome: Outcome,
  tell: (ref: TaskRef, outcome: Outcome) => void,
): void {
  for (let index = 0; index < count; index++) {
    const value = outcome.status === 'done' ? (outcome.value as RangeValues).at(index) : null
    tell({ job, no: no + index }, value === null ? outcome : ({ ...outcome, value } as Outcome))
  }
}

function viewPeers(state: SchedulerState): PeerView[] {
  return [...state.peers.values()].map((peer) => ({
    id: peer.id,
    epoch: peer.epoch,
    role: peer.role,
    isSelf: peer.id === state.self,
    isSuspected: peer.isSuspected,
    profile: peer.profile,
    rttMs: peer.rttMs,
    tasksDone: peer.tasksDone,
  }))
}

function viewJobs(state: SchedulerState): JobView[] {
  return [...state.jobs.values()].map((job) => ({
    id: job.id,
    name: job.name,
    owner: job.claim.peer,
    epoch: job.claim.epoch,
    isMine: job.isMine,
    total: job.total,
    done: job.done,
    failed: job.failed,
    cancelled: job.cancelled,
    isEnded: job.isEnded,
  }))
}

function storyOf(state: SchedulerState, key: string): readonly string[] {
  const ref = parseTaskId(key)
  const task = ref === null ? undefined : findTask(state, ref)
  return state.story.of(task ?? (key as PeerId | JobId))
}
