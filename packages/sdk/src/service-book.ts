import {
  type CallOutcome,
  type Clock,
  type OperationStore,
  PackedPayload,
  type Payload,
  type PeerId,
  type PeerRole,
  type Runtime,
  type ServiceId,
  type ServiceOrder,
  type ServiceSpec,
  ShoalError,
} from '@shoal/scheduler'
import { type ServiceCode, serviceFrom } from './code/index.ts'
import { rememberService } from './handles.ts'
import { serviceArgsBytesMax, serviceValueBytesMax } from './processors/limits.ts'
import type { CallService } from './processors/service-relay.ts'
import type {
  LookupOptions,
  Service,
  ServiceInfo,
  ServiceOptions,
  ServiceStats,
  Services,
} from './service.types.ts'
import { callError, ServiceCallHandle, serviceProxy } from './service-call.ts'
import {
  checkLookupName,
  checkServiceArguments,
  checkTarget,
  resolveLookupTimeout,
  resolveServiceOptions,
} from './service-options.ts'
import { errorToRecord, LivePayload, packShared } from './values/index.ts'

export interface ServiceBookParts {
  readonly runtime: Runtime
  readonly operations: Pick<OperationStore, 'add'>
  readonly role: PeerRole
  readonly clock: Clock
  /** `null` for a local mesh, whose values stay live. */
  readonly room: string | null
  newId(): string
  /** What an answer's bytes mean on this mesh. */
  read(payload: Payload): unknown
}

/** How long after a member was met its lane may still be on its way, in milliseconds. */
const lookupGraceMs = 3_000
/** How long what another member has just made may be on its way, in milliseconds. */
const lookupMs = 1_000
const lookupEveryMs = 20

type Handle = Service<Record<string, (...args: never[]) => unknown>>

/** Makes services and their handles for one mesh. A class for its lifetime: it holds the calls that wait. */
export class ServiceBook implements Services {
  readonly #parts: ServiceBookParts
  readonly #handles = new Map<ServiceId, Handle>()
  /** With their arguments: a chunk that nobody holds any more is released. */
  readonly #open = new Map<ServiceCallHandle, readonly unknown[]>()
  /** What services were when they were seen last: a handle outlives its service. */
  readonly #seen = new Map<ServiceId, ServiceStats>()
  readonly #stopPeers: () => void
  #peers = 0
  #metAt: number
  #isClosed = false

  constructor(parts: ServiceBookParts) {
    this.#parts = parts
    this.#metAt = parts.clock.now()
    this.#stopPeers = parts.runtime.onPeers(() => {
      const peers = parts.runtime.peers().length
      if (peers > this.#peers) this.#metAt = parts.clock.now()
      this.#peers = peers
    })
  }

  /**
   * Makes a service on this peer, then moves it to where it was asked for.
   * @throws ShoalError as {@link Mesh.service}
   */
  async create(shape: unknown, args: readonly unknown[], given: ServiceOptions): Promise<Handle> {
    const { role, room, operations, newId, runtime } = this.#parts
    const options = resolveServiceOptions(given)
    checkServiceArguments(args)
    options.signal?.throwIfAborted()
    if (this.#isClosed) throw closed('make a service')
    if (role === 'contributor') {
      const text = 'Cannot make a service as this peer must be a member: current value is contributor'
      throw new ShoalError('E_FORBIDDEN', text)
    }
    const code = serviceFrom(shape)
    if (options.durability !== 'none') assertReadable(code)
    const { durability, consistency, every, name, peer, signal } = options
    const packed =
      room === null ? new LivePayload([...args]) : pack(args, serviceArgsBytesMax, 'make a service')
    operations.add(code.record)
    const id = newId() as ServiceId
    const kept = { durability, consistency, every }
    const spec: ServiceSpec = { id, name, operation: code.record.hash, args: packed, ...kept }
    const made = this.#ended((done) => runtime.services.create(spec, done))
    await (signal === null ? made : this.#unlessAborted(id, made, signal))
    const handle = this.handle(id)
    if (peer === null || peer === runtime.self) return handle
    try {
      await handle.$.migrate(peer)
    } catch (error) {
      // Nobody has its handle yet.
      await handle.$.delete()
      throw error
    }
    return handle
  }

  /** What is given up is ended, however far it has come. */
  async #unlessAborted(id: ServiceId, made: Promise<void>, signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#parts.runtime.services.order(id, { type: 'delete' }, () => {})
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await made
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    signal.throwIfAborted()
  }

  async lookup<T>(name: string, options: LookupOptions = {}): Promise<Service<T>> {
    const { runtime, clock, room, role } = this.#parts
    const timeoutMs = resolveLookupTimeout(options)
    checkLookupName(name)
    if (role === 'contributor') {
      const text = `Cannot find service "${name}" as only members know names: current value is contributor`
      throw new ShoalError('E_NO_SERVICE', text, { data: { name } })
    }
    const askedAt = clock.now()
    for (;;) {
      if (this.#isClosed) throw closed(`find service "${name}"`)
      const view = runtime.services.lookup(name)
      if (view !== null) return this.handle(view.id) as unknown as Service<T>
      const patientUntil = room === null ? askedAt : Math.max(askedAt + lookupMs, this.#metAt + lookupGraceMs)
      if (clock.now() >= (timeoutMs === null ? patientUntil : askedAt + timeoutMs)) {
        const text = `Cannot find a service as "${name}" must be a name that is registered: nobody here knows it`
        throw new ShoalError('E_NO_SERVICE', text, { data: { name } })
      }
      await new Promise<void>((resolve) => void clock.setTimer(clock.now() + lookupEveryMs, resolve))
    }
  }

  list(): readonly ServiceInfo[] {
    return this.#parts.runtime.services
      .list()
      .map(({ id, name, host, epoch, follower }) => ({ id, name, host, epoch, follower }))
  }

  /** The handle of a service, always the same. */
  handle(id: ServiceId): Handle {
    const known = this.#handles.get(id)
    if (known !== undefined) return known
    const describe = (): string => `Service(${this.#stats(id).name ?? id})`
    const handle = serviceProxy(this.#control(id), describe, (method, args) => this.#call(id, method, args))
    rememberService(handle, id)
    this.#stats(id)
    this.#handles.set(id, handle as Handle)
    return handle as Handle
  }

  /** Calls for bodies that run here. */
  readonly callFor: CallService = (service, method, args, via, onEnded) => {
    this.#parts.runtime.services.call(service, { method, args, via }, (outcome) => {
      if (outcome.status !== 'ok') onEnded(outcome)
    })
  }

  /** What waits ends as closed. */
  close(): void {
    this.#isClosed = true
    this.#stopPeers()
    const outcome = { status: 'failed', error: errorToRecord(closed('finish a call')) } as const
    for (const call of this.#open.keys()) call.settle(outcome)
    this.#open.clear()
  }

  #call(id: ServiceId, method: string, args: unknown[]): ServiceCallHandle {
    const call = new ServiceCallHandle(this.#parts.read)
    try {
      if (this.#isClosed) throw closed(`call "${method}"`)
      const payload =
        this.#parts.room === null
          ? new LivePayload(args)
          : pack(args, serviceValueBytesMax, `call "${method}"`)
      this.#open.set(call, args)
      this.callFor(id, method, payload, [], (outcome) => {
        this.#open.delete(call)
        call.settle(outcome)
      })
    } catch (error) {
      call.settle({ status: 'failed', error: errorToRecord(error) })
    }
    return call
  }

  #control(id: ServiceId): Handle['$'] {
    const order = (wanted: ServiceOrder): Promise<void> => {
      if (this.#parts.role === 'contributor') {
        const text = `Cannot ${wanted.type} service "${id}" as this peer must be a member: current value is contributor`
        return Promise.reject(new ShoalError('E_FORBIDDEN', text))
      }
      return this.#ended((done) => this.#parts.runtime.services.order(id, wanted, done))
    }
    const stats = (): ServiceStats => this.#stats(id)
    return Object.freeze({
      id,
      get name() {
        return stats().name
      },
      get host() {
        return stats().host
      },
      get epoch() {
        return stats().epoch
      },
      get follower() {
        return stats().follower
      },
      stats,
      async migrate(to: string) {
        checkTarget(to)
        await order({ type: 'migrate', to: to as PeerId })
      },
      delete: () => order({ type: 'delete' }),
    })
  }

  #stats(id: ServiceId): ServiceStats {
    const view = this.#parts.runtime.services.view(id)
    if (view === null) return this.#seen.get(id) ?? { ...unknown, id }
    const { name, host, epoch, follower, durability, callsRun, callsOpen } = view
    const stats = { id, name, host, epoch, follower, durability, callsRun, callsOpen }
    this.#seen.set(id, stats)
    return stats
  }

  #ended(ask: (done: (outcome: CallOutcome | { readonly status: 'ok' }) => void) => void): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed('ask for that'))
    return new Promise((resolve, reject) => {
      ask((outcome) => {
        if (outcome.status === 'failed') reject(callError(outcome.error))
        else resolve()
      })
    })
  }
}

const unknown = {
  name: null,
  host: null,
  epoch: 0,
  follower: null,
  durability: 'snapshot',
  callsRun: 0,
  callsOpen: 0,
} as const

function assertReadable({ record, hiddenFields }: ServiceCode): void {
  const [hidden] = hiddenFields
  if (hidden === undefined) return
  const rule = 'its state must be readable: give it snapshot() and restore(state), or durability "none"'
  const text = `Cannot make a service of "${record.name}" as ${rule}: current value has the private field "${hidden}"`
  throw new ShoalError('E_CODE', text, { data: { field: hidden } })
}

function pack(args: readonly unknown[], bytesMax: number, what: string): Payload {
  const bytes = packShared(args)
  if (bytes.length <= bytesMax) return new PackedPayload(bytes)
  const text = `Cannot ${what} as its arguments must take at most ${bytesMax} bytes: current value is ${bytes.length}`
  throw new ShoalError('E_TOO_LARGE', text)
}

function closed(what: string): ShoalError {
  return new ShoalError('E_CLOSED', `Cannot ${what} as the mesh must be open: current value is closed`)
}
