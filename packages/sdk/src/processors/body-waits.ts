import type { TaskRef } from '@shoal/scheduler'
import type { BodyCall } from './body-context.ts'
import type { BodyTask } from './body-task.ts'
import type { WireAnswer, WireOutcome, WorkerNotice } from './protocol.ts'

/** What the bodies of a worker wait for: tasks and answers of services. */
export class BodyWaits {
  readonly #post: (notice: WorkerNotice) => void
  readonly #watchers = new Map<string, Set<BodyTask>>()
  /** A body may wait for many at once. */
  readonly #asked: TaskRef[] = []
  readonly #serviceCalls = new Map<number, (answer: WireAnswer) => void>()
  #serviceCallsMade = 0

  constructor(post: (notice: WorkerNotice) => void) {
    this.#post = post
  }

  watch(task: BodyTask): void {
    const { ref } = task
    if (ref === null) return
    const watchers = this.#watchers.get(task.id)
    if (watchers !== undefined) watchers.add(task)
    else {
      this.#watchers.set(task.id, new Set([task]))
      if (this.#asked.length === 0) queueMicrotask(() => this.#ask())
      this.#asked.push(ref)
    }
  }

  #ask(): void {
    this.#post({ type: 'watch', refs: this.#asked.splice(0) })
  }

  settled(taskId: string, outcome: WireOutcome): void {
    const watchers = this.#watchers.get(taskId)
    this.#watchers.delete(taskId)
    for (const task of watchers ?? []) task.settle(outcome)
  }

  callService(callId: number, call: BodyCall, onAnswer: (answer: WireAnswer) => void): void {
    const seq = this.#serviceCallsMade++
    this.#serviceCalls.set(seq, onAnswer)
    this.#post({ type: 'call-service', callId, seq, ...call })
  }

  answered(seq: number, answer: WireAnswer): void {
    this.#serviceCalls.get(seq)?.(answer)
    this.#serviceCalls.delete(seq)
  }
}
