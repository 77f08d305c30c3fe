import {
  attemptKey,
  type BodyRequest,
  type Call,
  type CallEnded,
  type Clock,
  type ErrorRecord,
  type JobId,
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  type ProcessorHost,
  type ProcessorId,
  type ProcessorRecord,
  processorId,
  ShoalError,
  type Unsubscribe,
} from '@shoal/scheduler'
import { atTurnEnd } from '../microtask.ts'
import type { Lending } from '../types.ts'
import { errorToRecord } from '../values/index.ts'
import { failedCall } from './call-ends.ts'
import { type ChunkRelay, createChunkRelay } from './chunk-relay.ts'
import { systemClock } from './clock.ts'
import { abortGraceMs, calibrateAfterMs, workersMax } from './limits.ts'
import { OutcomeRelay } from './outcome-relay.ts'
import { cancelled, refused } from './pending-calls.ts'
import type { ResultForm, WorkerNotice } from './protocol.ts'
import { createSeat, type Seat } from './seat.ts'
import { type CallService, relayServiceCall } from './service-relay.ts'
import { requestOf } from './spawn-request.ts'
import type { WorkerHandle } from './worker-handle.ts'
import { WorkerSlot } from './worker-slot.ts'

export interface WorkerHostOptions {
  /** The peer that the workers belong to. */
  readonly peer: PeerId
  /** How many workers to start. */
  readonly count: number
  readonly startWorker: () => WorkerHandle
  readonly operations: OperationStore
  /** Default: the platform's. */
  readonly clock?: Clock
  /** `live`: results stay values of this process. `packed`: workers pack them. Default `live`. */
  readonly resultForm?: ResultForm
  /** How long a body that was asked to stop may take before its worker is replaced. Default 50. */
  readonly abortGraceMs?: number
  /** For a peer that is alone: when no worker can start, calls fail and say why. Default: they wait. */
  readonly failsUnstarted?: boolean
}

export interface BodyProgress {
  readonly job: JobId
  readonly no: number
  /** 0 to 1. */
  readonly fraction: number
}

/** The workers of this peer as a {@link ProcessorHost}. */
export interface WorkerHost extends ProcessorHost, Lending {
  /** Resolves when every worker that was started has answered or failed. */
  ready(): Promise<void>
  /** What bodies say through `ctx.progress`. */
  onProgress(listener: (progress: BodyProgress) => void): Unsubscribe
  /** How bodies reach the services whose handles they were given. */
  callServices(call: CallService): void
}

interface ParkedCall {
  readonly call: Call
  readonly processor: ProcessorId
}

/** Starts `count` workers and runs calls on them. */
export function createWorkerHost(options: WorkerHostOptions): WorkerHost {
  return new Host(options)
}

class Host implements WorkerHost {
  readonly #options: WorkerHostOptions
  readonly #clock: Clock
  readonly #seats = new Map<ProcessorId, Seat>()
  /** Seats that were added while others worked: not offered before they can. */
  readonly #starting = new Set<Seat>()
  readonly #retiring = new Set<WorkerSlot>()
  readonly #parked = new Map<number, ParkedCall>()
  readonly #fetches = new Map<OperationHash, Promise<OperationRecord>>()
  /** What came from other peers, should the store not keep it. */
  readonly #fetched = new Map<OperationHash, OperationRecord>()
  readonly #spawners = new Map<string, { readonly slot: WorkerSlot; readonly callId: number }>()
  /** Calls whose bodies spawned, by what, or put something. */
  readonly #askers = new Map<number, string | null>()
  readonly #relay = new OutcomeRelay()
  readonly #chunks: ChunkRelay
  #callService: CallService | null = null
  readonly #endedListeners = new Set<(ended: readonly CallEnded[]) => void>()
  readonly #processorsListeners = new Set<(processors: readonly ProcessorRecord[]) => void>()
  readonly #bodyListeners = new Set<(request: BodyRequest) => void>()
  readonly #progressListeners = new Set<(progress: BodyProgress) => void>()
  #ended: readonly CallEnded[] = []
  #processors: readonly ProcessorRecord[] = []
  #score = 1
  #isMeasured = false
  #isClosed = false
  #hasStarted = false
  /** Why no worker can start, with `failsUnstarted`. */
  #unstarted: ErrorRecord | null = null

  constructor(options: WorkerHostOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#chunks = createChunkRelay(this.#clock, (request) => this.#body(request))
    this.#staff(options.count)
    this.#publish()
  }

  get processors(): readonly ProcessorRecord[] {
    return this.#processors
  }

  get workers(): number {
    return this.#seats.size
  }

  async lend(workers: number): Promise<void> {
    if (!Number.isInteger(workers) || workers < 0 || workers > workersMax) {
      const rule = `it must be a whole number from 0 to ${workersMax}`
      throw new ShoalError('E_OPTION', `Cannot set "workers" as ${rule}: current value is ${workers}`)
    }
    if (this.#isClosed) return
    const leaving: Promise<void>[] = []
    for (const seat of [...this.#seats.values()].slice(workers)) {
      this.#seats.delete(seat.id)
      const slot = seat.vacate()
      if (slot !== null) leaving.push(this.#retire(slot))
    }
    for (const seat of this.#staff(workers)) this.#starting.add(seat)
    this.#publish()
    await Promise.all([...leaving, this.#started(), this.ready()])
  }

  /** Resolves when the new seats have a worker that runs, or one that failed. */
  async #started(): Promise<void> {
    const starting = [...this.#starting].map(async (seat) => {
      await Promise.allSettled([seat.slot?.ready])
      if (this.#starting.delete(seat)) this.#publish()
    })
    await Promise.all(starting)
  }

  async #retire(slot: WorkerSlot): Promise<void> {
    this.#retiring.add(slot)
    await slot.retire()
    this.#retiring.delete(slot)
    this.#forgetSlot(slot)
  }

  /** Fills up to `count` seats; gives the new ones. */
  #staff(count: number): Seat[] {
    const added: Seat[] = []
    for (let index = this.#seats.size; index < count; index++) {
      const id = processorId(this.#options.peer, 'worker', index)
      const start = () => this.#startSlot(id)
      const seat = createSeat(id, this.#clock, start, () => this.#publish())
      this.#seats.set(id, seat)
      added.push(seat)
    }
    return added
  }

  async ready(): Promise<void> {
    await Promise.allSettled([...this.#seats.values()].map((seat) => seat.slot?.ready))
  }

  execute(processor: ProcessorId, calls: readonly Call[]): void {
    const slot = this.#seats.get(processor)?.slot ?? null
    const unstarted = this.#unstarted
    if (unstarted !== null) this.#end(calls.map((call) => failedCall(call, unstarted)))
    else if (slot === null) this.#end(calls.map(({ callId }) => refused(callId)))
    else for (const call of slot.run(calls)) void this.#park(processor, call)
  }

  abort(processor: ProcessorId, callIds: readonly number[]): void {
    const sent: number[] = []
    for (const callId of callIds) {
      if (this.#parked.delete(callId)) this.#end([cancelled(callId, 0)])
      else sent.push(callId)
    }
    this.#seats.get(processor)?.slot?.abort(sent)
    for (const slot of this.#retiring) slot.abort(sent)
  }

  onEnded(listener: (ended: readonly CallEnded[]) => void): Unsubscribe {
    return subscribe(this.#endedListeners, listener)
  }

  onProcessors(listener: (processors: readonly ProcessorRecord[]) => void): Unsubscribe {
    return subscribe(this.#processorsListeners, listener)
  }

  onBody(listener: (request: BodyRequest) => void): Unsubscribe {
    return subscribe(this.#bodyListeners, listener)
  }

  onProgress(listener: (progress: BodyProgress) => void): Unsubscribe {
    return subscribe(this.#progressListeners, listener)
  }

  callServices(call: CallService): void {
    this.#callService = call
  }

  childrenAccepted(...[job, parent, accepted]: Parameters<ProcessorHost['childrenAccepted']>): void {
    const spawner = this.#spawners.get(attemptKey(job, parent))
    spawner?.slot.post({ type: 'accepted', callId: spawner.callId, job, accepted })
  }

  taskSettled(...[ref, outcome]: Parameters<ProcessorHost['taskSettled']>): void {
    this.#relay.settle(ref, outcome)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#chunks.close()
    for (const slot of this.#retiring) slot.end({ type: 'replace' })
    for (const seat of this.#seats.values()) seat.close()
    this.#seats.clear()
    this.#publish()
    this.#end([...this.#parked.keys()].map(refused))
    this.#parked.clear()
    this.#flush()
  }

  /** Keeps a call whose code is not here until it has come; its siblings go ahead. */
  async #park(processor: ProcessorId, call: Call): Promise<void> {
    this.#parked.set(call.callId, { call, processor })
    try {
      const operation = await this.#fetch(call)
      this.#fetched.set(operation.hash, operation)
    } catch (error) {
      const record = errorToRecord(error)
      if (this.#parked.delete(call.callId)) this.#end([failedCall(call, record)])
      return
    }
    if (this.#parked.delete(call.callId)) this.execute(processor, [call])
  }

  #fetch(call: Call): Promise<OperationRecord> {
    const known = this.#fetches.get(call.operation)
    if (known !== undefined) return known
    const fetching = this.#options.operations.fetch(call.operation, call.owner)
    this.#fetches.set(call.operation, fetching)
    const forget = (): boolean => this.#fetches.delete(call.operation)
    fetching.then(forget, forget)
    return fetching
  }

  #startSlot(id: ProcessorId): WorkerSlot {
    const slot: WorkerSlot = new WorkerSlot({
      id,
      clock: this.#clock,
      resultForm: this.#options.resultForm ?? 'live',
      startWorker: this.#options.startWorker,
      operationOf: (hash) => this.#options.operations.get(hash) ?? this.#fetched.get(hash) ?? null,
      abortGraceMs: this.#options.abortGraceMs ?? abortGraceMs,
      onEnded: (ended) => this.#end(ended),
      onResults: (ended) => this.#tellResults(ended),
      onMessage: (message) => this.#onMessage(slot, message),
      onGone: (isCrash, reason) => {
        this.#forgetSlot(slot)
        const seat = this.#seats.get(id)
        if (seat?.slot !== slot) return
        seat.restart(isCrash, reason)
        if (seat.slot === null) this.#onPause(reason)
      },
    })
    slot.ready.then(
      () => {
        this.#hasStarted = true
        if (this.#unstarted === null) return
        this.#unstarted = null
        this.#publish()
      },
      () => {},
    )
    if (!this.#isMeasured) void this.#measureLater(slot)
    return slot
  }

  /** A worker crashed too often. When none ever started, waiting would be for ever. */
  #onPause(reason: string): void {
    if (this.#hasStarted || this.#options.failsUnstarted !== true) return
    const message = `Cannot run tasks as a worker must start: current value is ${reason}`
    this.#unstarted = errorToRecord(new ShoalError('E_WORKER', message))
    this.#publish()
  }

  /** All workers of a machine are alike: one of them is measured, once, when it has nothing to do. */
  async #measureLater(slot: WorkerSlot): Promise<void> {
    try {
      await slot.ready
      do
        await new Promise<void>((resolve) =>
          this.#clock.setTimer(this.#clock.now() + calibrateAfterMs, resolve),
        )
      while (!slot.isIdle && !slot.isOver)
      if (this.#isMeasured || slot.isOver) return
      this.#isMeasured = true
      this.#score = await slot.calibrate()
      this.#publish()
    } catch {
      // The worker went away meanwhile: the next one is measured instead.
      this.#isMeasured = false
    }
  }

  #onMessage(slot: WorkerSlot, message: WorkerNotice): void {
    switch (message.type) {
      case 'spawn':
        this.#onSpawn(slot, message)
        break
      case 'watch': {
        const refs = message.refs.filter((ref) => this.#relay.watch(ref, slot))
        if (refs.length > 0) this.#body({ type: 'watch', refs })
        break
      }
      case 'chunk':
      case 'put':
        if (message.type === 'put' && !this.#askers.has(message.callId))
          this.#askers.set(message.callId, null)
        this.#chunks.ask(slot, message)
        break
      case 'cancel':
      case 'yield':
      case 'resume':
        this.#body(message)
        break
      case 'call-service':
        if (this.#callService !== null) relayServiceCall(slot, message, this.#callService, [])
        break
      case 'progress': {
        const call = slot.pendingCall(message.callId)
        if (call === undefined) break
        const progress = { job: call.job, no: call.no, fraction: message.fraction }
        for (const listener of this.#progressListeners) listener(progress)
        break
      }
    }
  }

  #onSpawn(slot: WorkerSlot, message: Extract<WorkerNotice, { readonly type: 'spawn' }>): void {
    const { callId, job, no, attempt } = message
    if (slot.pendingCall(callId) === undefined) return
    const parent = { no, attempt }
    const key = attemptKey(job, parent)
    this.#spawners.set(key, { slot, callId })
    this.#askers.set(callId, key)
    for (const operation of message.operations) this.#options.operations.add(operation)
    this.#body({ type: 'spawn', job, parent, requests: message.requests.map(requestOf) })
  }

  #forgetSlot(slot: WorkerSlot): void {
    this.#relay.forget(slot)
  }

  #publish(): void {
    const isOffered = (seat: Seat): boolean =>
      this.#unstarted !== null || (seat.slot !== null && !this.#starting.has(seat))
    const seats = [...this.#seats.values()].filter(isOffered)
    const score = this.#score
    this.#processors = seats.map(({ id }) => ({ id, kind: 'worker', isDefault: true, score }))
    for (const listener of this.#processorsListeners) listener(this.#processors)
  }

  #body(request: BodyRequest): void {
    for (const listener of this.#bodyListeners) listener(request)
  }

  /** Tells at the end of the turn: never from within `execute`, and once for all that ended in it. */
  #end(ended: readonly CallEnded[]): void {
    if (ended.length === 0) return
    if (this.#ended.length === 0) {
      atTurnEnd(() => this.#flush())
      this.#ended = ended
    } else this.#ended = [...this.#ended, ...ended]
    if (this.#askers.size > 0) for (const { callId } of ended) this.#forgetAsker(callId)
  }

  /** What a message brought is told at once, unless something that ended before is still to be told. */
  #tellResults(ended: readonly CallEnded[]): void {
    if (this.#ended.length > 0) {
      this.#end(ended)
      return
    }
    if (this.#askers.size > 0) for (const { callId } of ended) this.#forgetAsker(callId)
    for (const listener of this.#endedListeners) listener(ended)
  }

  #forgetAsker(callId: number): void {
    const key = this.#askers.get(callId)
    if (key === undefined) return
    this.#askers.delete(callId)
    if (key !== null) this.#spawners.delete(key)
    this.#chunks.ended(callId)
  }

  #flush(): void {
    if (this.#ended.length === 0) return
    const ended = this.#ended
    this.#ended = []
    for (const listener of this.#endedListeners) listener(ended)
  }
}

function subscribe<L>(listeners: Set<L>, listener: L): Unsubscribe {
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
  }
}
