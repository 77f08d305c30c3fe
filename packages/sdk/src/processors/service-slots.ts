import {
  type BodyRequest,
  type Call,
  type CallEnded,
  type CallOutcome,
  type Clock,
  errorRecord,
  type JobId,
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type Outcome,
  PackedPayload,
  type Payload,
  type PeerId,
  processorId,
  type ServiceHost,
  type ServiceId,
  type ServiceNews,
  type ServiceRun,
  type ServiceSpec,
  type TaskRef,
  type Unsubscribe,
} from '@shoal/scheduler'
import { serviceCommand } from '../code/index.ts'
import { atTurnEnd } from '../microtask.ts'
import { errorToRecord, LivePayload, unpackSmallList } from '../values/index.ts'
import { systemClock } from './clock.ts'
import { abortGraceMs, serviceOpenMs, serviceSparesMax, servicesMax, serviceValueBytesMax } from './limits.ts'
import type { ResultForm, WorkerNotice } from './protocol.ts'
import { isScalar } from './running-call.ts'
import { ServiceBodies } from './service-bodies.ts'
import { type CallService, relayServiceCall } from './service-relay.ts'
import { createSpares, type Spares } from './service-spares.ts'
import type { WorkerHandle } from './worker-handle.ts'
import { WorkerSlot } from './worker-slot.ts'

export interface ServiceSlotsOptions {
  readonly peer: PeerId
  readonly startWorker: () => WorkerHandle
  readonly operations: OperationStore
  readonly resultForm: ResultForm
  /** Default: the platform's. */
  readonly clock?: Clock
}

/** The services that live on this peer. */
export interface ServiceSlots extends ServiceHost {
  /** How services reach each other. */
  callServices(call: CallService): void
  /** Ends all of them. */
  closeAll(): void
}

/** What the worker of an instance was asked for; `seq` of a call or of a snapshot. */
interface Order {
  readonly type: 'open' | 'call' | 'snapshot'
  readonly seq: number
  /** Services in whose methods the call was made. */
  readonly via: readonly ServiceId[]
}

interface Instance {
  /** 0: a spare one, which nobody has opened. */
  number: number
  readonly spec: ServiceSpec
  readonly slot: WorkerSlot
  readonly orders: Map<number, Order>
  /** What is given to the worker at the end of the turn; `isHeld` until its code has come. */
  calls: Call[]
  isHeld: boolean
  /** Ends the wait for its constructor. */
  stopWaiting: () => void
  /** Calls that ended and are not told yet. */
  ended: { readonly seq: number; readonly outcome: CallOutcome }[]
}

type Inputs = Call['inputs']

const none: readonly never[] = Object.freeze([])
const noInputs: Inputs = Object.freeze([])

/**
 * Runs services: a worker of its own for each, so that one that computes for long keeps nobody waiting, and
 * one that dies takes nobody with it.
 */
export function createServiceSlots(options: ServiceSlotsOptions): ServiceSlots {
  return new Slots(options)
}

class Slots implements ServiceSlots {
  readonly #options: ServiceSlotsOptions
  readonly #instances = new Map<number, Instance>()
  /** A worker takes far longer to start than a service to open. */
  readonly #spares: Spares<Instance>
  /** What came from other peers, should the store not keep it. */
  readonly #fetched = new Map<OperationHash, OperationRecord>()
  /** Who had the code of a service when it was first heard of. */
  readonly #sources = new Map<OperationHash, PeerId>()
  readonly #listeners = new Set<(news: readonly ServiceNews[]) => void>()
  readonly #bodies: ServiceBodies
  #callService: CallService | null = null
  #news: ServiceNews[] = []
  #isTelling = false
  #ordersMade = 0
  #workersMade = 0

  constructor(options: ServiceSlotsOptions) {
    this.#options = options
    this.#bodies = new ServiceBodies(options.peer, options.operations, options.clock ?? systemClock)
    const end = ({ slot }: Instance): void => slot.end({ type: 'replace' })
    this.#spares = createSpares(options.clock ?? systemClock, serviceSparesMax, end)
  }

  onNews(listener: (news: readonly ServiceNews[]) => void): Unsubscribe {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  onBody(listener: (request: BodyRequest) => void): Unsubscribe {
    return this.#bodies.onBody(listener)
  }

  taskSettled(ref: TaskRef, outcome: Outcome): void {
    this.#bodies.settled(ref, outcome)
  }

  callServices(call: CallService): void {
    this.#callService = call
  }

  prepare(spec: ServiceSpec, from: PeerId): void {
    const { id, operation } = spec
    this.#sources.set(operation, from)
    // Whoever has the code may be gone by the time that it is needed.
    const fetched = this.#operationOf(operation) === null ? this.#fetch(operation) : null
    // What fails now is tried again, and told, when the service is opened.
    fetched?.catch(() => {})
    this.#spares.plan(id, () => {
      const spare = this.#start(spec)
      const load = (): void => spare.slot.preload(operation)
      if (fetched === null) load()
      else fetched.then(load, () => {})
      return spare
    })
  }

  unprepare(service: ServiceId): void {
    this.#spares.drop(service)
  }

  open(number: number, spec: ServiceSpec, state: Payload | null): void {
    if (this.#instances.size >= servicesMax) {
      const text = `Cannot host service "${spec.id}" as one peer hosts at most ${servicesMax}`
      this.#tell({ type: 'opened', instance: number, error: errorRecord('E_LIMIT', text) })
      return
    }
    const instance = this.#spares.take(spec.id) ?? this.#start(spec)
    instance.number = number
    this.#instances.set(number, instance)
    const inputs = [{ index: 2, value: spec.args }]
    if (state !== null) inputs.push({ index: 1, value: state })
    const args = [serviceCommand.open, null, null, state !== null]
    this.#order(instance, { type: 'open', seq: 0, via: none }, args, inputs)
    this.#limitOpening(instance)
    if (this.#operationOf(spec.operation) === null) void this.#openLater(instance)
  }

  run(number: number, calls: readonly ServiceRun[]): void {
    const instance = this.#instances.get(number)
    if (instance === undefined) return
    if (calls.length === 1 && this.#runAlone(instance, calls[0] as ServiceRun)) return
    for (const { seq, method, args, via } of calls) {
      const order: Order = { type: 'call', seq, via }
      const head = [serviceCommand.call, method]
      // In one list with the rest: an input of its own costs a message of several objects.
      if (args instanceof LivePayload) this.#order(instance, order, [...head, args.value], noInputs)
      else this.#order(instance, order, head, [{ index: 2, value: args }])
    }
  }

  snapshot(number: number, seq: number): void {
    const instance = this.#instances.get(number)
    if (instance !== undefined)
      this.#order(instance, { type: 'snapshot', seq, via: none }, [serviceCommand.snapshot], noInputs)
  }

  close(number: number): void {
    const instance = this.#instances.get(number)
    if (instance === undefined) return
    this.#instances.delete(number)
    instance.stopWaiting()
    this.#bodies.forget(instance.slot)
    instance.slot.end({ type: 'replace' })
  }

  closeAll(): void {
    for (const number of [...this.#instances.keys()]) this.close(number)
    this.#spares.dropAll()
    this.#bodies.close()
  }

  #start(spec: ServiceSpec): Instance {
    const { peer, startWorker, resultForm, clock = systemClock } = this.#options
    const slot: WorkerSlot = new WorkerSlot({
      id: processorId(peer, 'service', ++this.#workersMade),
      clock,
      resultForm,
      isSerial: true,
      startWorker,
      operationOf: (hash) => this.#operationOf(hash),
      abortGraceMs,
      onEnded: (ended) => this.#ended(instance, ended),
      onResults: (ended) => this.#ended(instance, ended),
      onMessage: (message) => this.#onMessage(instance, message),
      onGone: (_isCrash, reason) => this.#died(instance, reason),
    })
    const instance: Instance = {
      number: 0,
      spec,
      slot,
      orders: new Map(),
      calls: [],
      isHeld: false,
      stopWaiting: () => {},
      ended: [],
    }
    return instance
  }

  #operationOf(hash: OperationHash): OperationRecord | null {
    return this.#options.operations.get(hash) ?? this.#fetched.get(hash) ?? null
  }

  async #fetch(hash: OperationHash): Promise<void> {
    const { operations, peer } = this.#options
    const operation = await operations.fetch(hash, this.#sources.get(hash) ?? peer)
    this.#fetched.set(hash, operation)
  }

  /** A constructor that never ends must not keep its name, nor a service its callers. */
  #limitOpening(instance: Instance): void {
    const { clock = systemClock } = this.#options
    instance.stopWaiting = clock.setTimer(clock.now() + serviceOpenMs, () => {
      if (this.#instances.get(instance.number) !== instance) return
      this.close(instance.number)
      const rule = `its constructor must end, and its state be there, within ${serviceOpenMs} ms`
      const text = `Cannot start service "${instance.spec.id}" as ${rule}: current value is unfinished`
      this.#tell({ type: 'opened', instance: instance.number, error: errorRecord('E_SERVICE_START', text) })
    })
  }

  /** Keeps what is asked of an instance until its code has come. */
  async #openLater(instance: Instance): Promise<void> {
    instance.isHeld = true
    let error: unknown = null
    try {
      await this.#fetch(instance.spec.operation)
    } catch (reason) {
      error = reason
    }
    if (this.#instances.get(instance.number) !== instance) return
    instance.isHeld = false
    if (error === null) return this.#give(instance)
    this.close(instance.number)
    this.#tell({ type: 'opened', instance: instance.number, error: errorToRecord(error) })
  }

  /** A call with plain arguments and none beside it goes to the worker at once; `false`: it has to wait for the others. */
  #runAlone(instance: Instance, { seq, method, args, via }: ServiceRun): boolean {
    if (instance.isHeld || instance.calls.length > 0) return false
    const list = scalarsOf(args)
    if (list === null) return false
    const call = this.#callOf(instance, seq, args, noInputs)
    if (!instance.slot.runMethod(call, method, list)) return false
    instance.orders.set(call.callId, { type: 'call', seq, via })
    return true
  }

  #order(instance: Instance, order: Order, args: readonly unknown[], inputs: Inputs): void {
    const call = this.#callOf(instance, order.seq, new LivePayload(args), inputs)
    instance.orders.set(call.callId, order)
    if (instance.calls.length === 0) atTurnEnd(() => this.#give(instance))
    instance.calls.push(call)
  }

  #callOf({ spec, number }: Instance, no: number, args: Payload, inputs: Inputs): Call {
    return {
      callId: ++this.#ordersMade,
      job: spec.id as string as JobId,
      no,
      attempt: number,
      operation: spec.operation,
      args,
      items: null,
      inputs,
      timeoutMs: 0,
      owner: this.#options.peer,
    }
  }

  #give(instance: Instance): void {
    if (!instance.isHeld && instance.calls.length > 0) instance.slot.run(instance.calls.splice(0))
  }

  #ended(instance: Instance, ended: readonly CallEnded[]): void {
    // A worker that is over says so for each of its calls, too.
    if (this.#instances.get(instance.number) !== instance || instance.slot.isOver) return
    for (const { callId, outcome } of ended) {
      const order = instance.orders.get(callId)
      if (order === undefined) continue
      instance.orders.delete(callId)
      this.#bodies.callEnded(instance.slot, callId)
      this.#answer(instance, order, outcome)
    }
    this.#tellEnded(instance)
  }

  #answer(instance: Instance, { type, seq }: Order, made: CallEnded['outcome']): void {
    if (made.status !== 'done' && made.status !== 'failed') return
    const outcome = fitting(made, type === 'snapshot' ? 'keep the state of a service' : 'answer a call')
    const error = outcome.status === 'failed' ? outcome.error : null
    if (type === 'call') {
      instance.ended.push({ seq, outcome })
      return
    }
    this.#tellEnded(instance)
    if (type === 'open') {
      instance.stopWaiting()
      this.#tell({ type: 'opened', instance: instance.number, error })
    } else {
      const state = outcome.status === 'done' ? outcome.value : null
      this.#tell({ type: 'snapshot', instance: instance.number, seq, state, error })
    }
  }

  #tellEnded(instance: Instance): void {
    if (instance.ended.length === 0) return
    this.#tell({ type: 'ran', instance: instance.number, ended: instance.ended })
    instance.ended = []
  }

  #died(instance: Instance, reason: string): void {
    this.#spares.forget(instance)
    this.#bodies.forget(instance.slot)
    if (this.#instances.get(instance.number) !== instance) return
    this.#instances.delete(instance.number)
    instance.stopWaiting()
    const text = `Cannot go on with service "${instance.spec.id}" as its worker must live: current value is ${reason}`
    this.#tell({ type: 'died', instance: instance.number, error: errorRecord('E_WORKER', text) })
  }

  #onMessage({ slot, spec, orders }: Instance, message: WorkerNotice): void {
    if (message.type !== 'call-service') {
      this.#bodies.onNotice(slot, spec.name ?? spec.id, message)
      return
    }
    const via = orders.get(message.callId)?.via ?? none
    if (this.#callService !== null) relayServiceCall(slot, message, this.#callService, [...via, spec.id])
  }

  /** Tells at the end of the turn, once for all that happened in it. */
  #tell(news: ServiceNews): void {
    this.#news.push(news)
    if (this.#isTelling) return
    this.#isTelling = true
    atTurnEnd(() => {
      const told = this.#news
      this.#news = []
      this.#isTelling = false
      for (const listener of this.#listeners) listener(told)
    })
  }
}

/** Arguments that are all scalars; else `null`. */
function scalarsOf(args: Payload): readonly unknown[] | null {
  if (args instanceof PackedPayload) return unpackSmallList(args.bytes)
  const list = args instanceof LivePayload ? (args.value as readonly unknown[]) : null
  return list?.every(isScalar) === true ? list : null
}

/** What is too large to travel fails here, where somebody hears of it. */
function fitting(outcome: CallOutcome, what: string): CallOutcome {
  if (outcome.status !== 'done' || outcome.value instanceof LivePayload) return outcome
  const { length } = outcome.value.pack()
  if (length <= serviceValueBytesMax) return outcome
  const text = `Cannot ${what} as it must take at most ${serviceValueBytesMax} bytes: current value is ${length}`
  return { status: 'failed', error: errorRecord('E_TOO_LARGE', text) }
}
