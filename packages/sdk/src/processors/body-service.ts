import type { ServiceCall } from '../service.types.ts'
import { callError } from '../service-call.ts'
import type { WireAnswer, WireValue } from './protocol.ts'

/** What a call needs of the body that makes it. */
export interface ServiceCaller {
  /** Rejects when the body has to stop. */
  orStopped(came: Promise<void>): Promise<void>
  /** The body begins or ends to wait: another one may have its place meanwhile. */
  wait(isWaiting: boolean): void
  read(value: WireValue): unknown
}

/** A body's call of a service. */
export class BodyServiceCall implements ServiceCall<unknown> {
  readonly #caller: ServiceCaller
  readonly #answered: Promise<void>
  #answer: WireAnswer | null = null
  #resolve: () => void = () => {}

  constructor(caller: ServiceCaller) {
    this.#caller = caller
    this.#answered = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  settle(answer: WireAnswer): void {
    this.#answer = answer
    this.#resolve()
  }

  isReady(): boolean {
    return this.#answer !== null
  }

  // biome-ignore lint/suspicious/noThenProperty: a call is awaitable
  then<A = unknown, B = never>(
    onDone?: ((value: unknown) => A | PromiseLike<A>) | null,
    onFailed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.fetch().then(onDone, onFailed)
  }

  async fetch(): Promise<unknown> {
    await this.wait()
    const answer = this.#answer as WireAnswer
    if (answer.status === 'done') return this.#caller.read(answer.value)
    throw callError(answer.error)
  }

  async wait(): Promise<void> {
    if (this.#answer !== null) return
    this.#caller.wait(true)
    try {
      await this.#caller.orStopped(this.#answered)
    } finally {
      this.#caller.wait(false)
    }
  }
}
