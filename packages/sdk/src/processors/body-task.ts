import { type Outcome, ShoalError, type TaskRef, taskIdOf } from '@shoal/scheduler'
import { CancelledError, taskFailed } from '../errors.ts'
import { describeHandle } from '../service-call.ts'
import type { Chunk, Task, TaskStatus } from '../types.ts'
import { errorFromRecord } from '../values/index.ts'
import type { WireOutcome } from './protocol.ts'

/** A body's task has no number until the job's owner took it: it cannot be named or packed before. */
export class Unnumbered extends Error {
  readonly task: BodyTask
  constructor(task: BodyTask) {
    super('the task has no number yet')
    this.task = task
  }
}

/** What a task in a worker needs of the body that holds it. */
export interface TaskHolder {
  /** Asks for the outcome of a numbered task. */
  watch(task: BodyTask): void
  cancel(ref: TaskRef, reason: string): void
  /** The body waits (`true`) or goes on. */
  wait(isWaiting: boolean): void
  read(value: Extract<WireOutcome, { readonly status: 'done' }>['value']): unknown
  /** Rejects when the body is asked to stop. */
  orStopped(came: Promise<void>): Promise<void>
}

/** A task as a body sees it: spawned by the body, or a handle that came in a value. */
export class BodyTask implements Task<unknown> {
  readonly #holder: TaskHolder
  readonly numbered: Promise<void>
  #ref: TaskRef | null
  #outcome: WireOutcome | null = null
  #isWatched = false
  #number: () => void = () => {}
  #settle: () => void = () => {}
  readonly #settled: Promise<void>
  #cancelReason: string | null = null
  #fault: { readonly error: unknown } | null = null

  constructor(holder: TaskHolder, ref: TaskRef | null) {
    this.#holder = holder
    this.#ref = ref
    this.numbered =
      ref !== null
        ? Promise.resolve()
        : new Promise((resolve) => {
            this.#number = resolve
          })
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  get ref(): TaskRef | null {
    return this.#ref
  }

  /** `''` until the job's owner has taken the task. */
  get id(): string {
    return this.#ref === null ? '' : taskIdOf(this.#ref)
  }

  get status(): TaskStatus {
    return this.#fault === null ? (this.#outcome?.status ?? 'unknown') : 'failed'
  }

  /** @param isFollowed whoever asks later may come too late: the outcome is asked for now */
  accept(ref: TaskRef, isFollowed: boolean): void {
    if (this.#ref !== null) return
    this.#ref = ref
    this.#isWatched ||= isFollowed
    this.#number()
    if (this.#isWatched) this.#holder.watch(this)
    if (this.#cancelReason !== null) this.#holder.cancel(ref, this.#cancelReason)
  }

  /** It cannot be asked for: whoever waits for it, or names it, is told why. */
  refuse(fault: unknown): void {
    this.#fault = { error: fault }
    this.#number()
    this.#settle()
  }

  /** @throws whatever keeps it from being asked for; {@link Unnumbered} */
  requireRef(): TaskRef {
    if (this.#fault !== null) throw this.#fault.error
    if (this.#ref === null) throw new Unnumbered(this)
    return this.#ref
  }

  settle(outcome: WireOutcome): void {
    if (this.#outcome !== null) return
    this.#outcome = outcome
    this.#settle()
  }

  // biome-ignore lint/suspicious/noThenProperty: a task is awaitable
  then<A = unknown, B = never>(
    onDone?: ((value: unknown) => A | PromiseLike<A>) | null,
    onFailed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.fetch().then(onDone, onFailed)
  }

  async fetch(): Promise<unknown> {
    await this.wait()
    return this.value()
  }

  async wait(): Promise<void> {
    if (this.isReady()) return
    if (!this.#isWatched) {
      this.#isWatched = true
      if (this.#ref !== null) this.#holder.watch(this)
    }
    this.#holder.wait(true)
    try {
      await this.#holder.orStopped(this.#settled)
    } finally {
      this.#holder.wait(false)
    }
  }

  isReady(): boolean {
    return this.#outcome !== null || this.#fault !== null
  }

  /** Its job's owner keeps it, and the body runs again when it is lost: there is nothing to wait for here. */
  async durable(): Promise<void> {
    const text = 'Cannot wait for durability in a body as only a mesh can: current value is a body'
    throw new ShoalError('E_FORBIDDEN', text)
  }

  async chunk(): Promise<Chunk<unknown>> {
    const text = 'Cannot make a chunk in a body as only a mesh can: current value is a body'
    throw new ShoalError('E_FORBIDDEN', text)
  }

  cancel(reason = 'cancelled'): void {
    if (this.#ref === null) this.#cancelReason = reason
    else this.#holder.cancel(this.#ref, reason)
  }

  explain(): readonly string[] {
    return []
  }

  /** @throws what the task failed with */
  value(): unknown {
    if (this.#fault !== null) throw this.#fault.error
    const outcome = this.#outcome as WireOutcome
    if (outcome.status === 'done') return this.#holder.read(outcome.value)
    const ref = this.#ref as TaskRef
    if (outcome.status === 'cancelled') throw new CancelledError(taskIdOf(ref), outcome.reason)
    throw taskFailed(ref, outcome satisfies Outcome, errorFromRecord(outcome.error))
  }
}

describeHandle(BodyTask.prototype, 'the handle of a task')
