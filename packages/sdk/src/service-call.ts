import { type CallOutcome, type ErrorRecord, type Payload, ShoalError } from '@shoal/scheduler'
import { ServiceRestartedError } from './errors.ts'
import { showAsText } from './inspect.ts'
import type { ServiceCall } from './service.types.ts'
import { errorFromRecord } from './values/index.ts'

/** One call under way. A class for speed, as tasks are: a promise is made only when somebody asks. */
export class ServiceCallHandle implements ServiceCall<unknown> {
  readonly #read: (payload: Payload) => unknown
  #outcome: CallOutcome | null = null
  #result: Promise<unknown> | null = null
  #waiting: { resolve(value: unknown): void; reject(reason: unknown): void } | null = null
  #ended: (() => void)[] | null = null

  /** @param read what the answer's bytes mean on this mesh */
  constructor(read: (payload: Payload) => unknown) {
    this.#read = read
  }

  isReady(): boolean {
    return this.#outcome !== null
  }

  // biome-ignore lint/suspicious/noThenProperty: a call is awaitable by design
  then<R1 = unknown, R2 = never>(
    onDone?: ((value: unknown) => R1 | PromiseLike<R1>) | null,
    onFailed?: ((reason: unknown) => R2 | PromiseLike<R2>) | null,
  ): Promise<R1 | R2> {
    return this.fetch().then(onDone, onFailed)
  }

  fetch(): Promise<unknown> {
    this.#result ??= new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      if (this.#outcome !== null) this.#deliver(this.#outcome)
    })
    return this.#result
  }

  wait(): Promise<void> {
    if (this.#outcome !== null) return Promise.resolve()
    return new Promise((resolve) => {
      this.#ended ??= []
      this.#ended.push(resolve)
    })
  }

  /** The first outcome stays. */
  settle(outcome: CallOutcome): void {
    if (this.#outcome !== null) return
    this.#outcome = outcome
    if (this.#waiting !== null) this.#deliver(outcome)
    const ended = this.#ended
    this.#ended = null
    for (const listener of ended ?? []) listener()
  }

  toString(): string {
    return `ServiceCall(${this.#outcome?.status ?? 'open'})`
  }

  #deliver(outcome: CallOutcome): void {
    const waiting = this.#waiting
    this.#waiting = null
    try {
      if (outcome.status === 'done') waiting?.resolve(this.#read(outcome.value))
      else waiting?.reject(callError(outcome.error))
    } catch (error) {
      waiting?.reject(error)
    }
  }
}

showAsText(ServiceCallHandle.prototype)

/** What a failed call rejects with: what the method threw, or what Shoal says of the call. */
export function callError(record: ErrorRecord): Error {
  const isRestart = record.name === 'ShoalError' && record.code === 'E_SERVICE_RESTARTED'
  return isRestart ? new ServiceRestartedError(record.message) : errorFromRecord(record)
}

/**
 * The typed face of a service: `$`, and every other name a method. It is no promise and holds nothing.
 * @param describe for logs
 */
export function serviceProxy(
  control: object,
  describe: () => string,
  call: (method: string, args: unknown[]) => unknown,
): object {
  const methods = new Map<string, (...args: unknown[]) => unknown>()
  const inspect = Symbol.for('nodejs.util.inspect.custom')
  // Node's console looks at what is behind a proxy.
  const face = Object.defineProperty(new ServiceFace(), inspect, { value: describe })
  return new Proxy(face, {
    get(_target, name) {
      if (name === '$') return control
      if (name === inspect || name === 'toString' || name === Symbol.toPrimitive) return describe
      if (typeof name === 'symbol' || hidden.has(name)) return undefined
      let method = methods.get(name)
      if (method === undefined) {
        method = (...args) => call(name, args)
        methods.set(name, method)
      }
      return method
    },
    has: (_target, name) => name === '$',
    set(_target, name) {
      const rule = 'its fields live where it runs'
      throw new ShoalError(
        'E_FORBIDDEN',
        `Cannot set "${String(name)}" of a service as ${rule}: call a method instead`,
      )
    },
  })
}

/** Of a class of its own, so that nobody takes a handle for plain data. */
class ServiceFace {}

/** By this handles say what they are, also to the code of a service, which imports nothing. */
const handleKey = Symbol.for('shoal.handle')

export function describeHandle(prototype: object, text: string): void {
  Object.defineProperty(prototype, handleKey, { value: text })
}

/** What a handle is, in words. */
export function handleText(handle: object): string {
  return String(Reflect.get(Object.getPrototypeOf(handle), handleKey))
}

describeHandle(ServiceFace.prototype, 'the handle of a service')

/** What others look for in a value: a handle answers that it is no promise and has no form as JSON. */
const hidden = new Set(['then', 'toJSON', 'constructor'])
