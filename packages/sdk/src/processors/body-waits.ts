import type { ErrorRecord, JobId, TaskRef } from '@shoal/scheduler'
import { errorFromRecord } from '../values/index.ts'
import type { BodyCall } from './body-context.ts'
import type { BodyTask } from './body-task.ts'
import type { WireAnswer, WireOutcome, WorkerNotice } from './protocol.ts'

/** Who spawned, until all that it spawned has numbers. */
export interface Spawner {
  readonly callId: number
  /** @returns whether something is still without a number */
  accepted(job: JobId, accepted: readonly { readonly seq: number; readonly no: number }[]): boolean
}

interface ChunkAsk {
  resolve(bytes: Uint8Array): void
  reject(error: unknown): void
}

/**
 * What the bodies of a worker wait for: tasks, chunks and answers of services. By numbers of the worker, as what a
 * service keeps of one call is used in another.
 */
export class BodyWaits {
  readonly #post: (notice: WorkerNotice) => void
  readonly #watchers = new Map<string, Set<BodyTask>>()
  /** A body may wait for many at once. */
  readonly #asked: TaskRef[] = []
  readonly #serviceCalls = new Map<number, (answer: WireAnswer) => void>()
  readonly #chunkAsks = new Map<number, ChunkAsk>()
  readonly #spawners = new Map<number, Spawner>()
  #serviceCallsMade = 0
  #chunkAsksMade = 0

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

  /** The packed value of a chunk, or the packed reference of what is put. */
  askForChunk(callId: number, type: 'chunk' | 'put', bytes: Uint8Array): Promise<Uint8Array> {
    const key = this.#chunkAsksMade++
    return new Promise((resolve, reject) => {
      this.#chunkAsks.set(key, { resolve, reject })
      this.#post({ type, callId, key, bytes })
    })
  }

  chunkCame(key: number, value: Uint8Array | null, error: ErrorRecord | null): void {
    const ask = this.#chunkAsks.get(key)
    this.#chunkAsks.delete(key)
    if (value !== null) ask?.resolve(value)
    else if (error !== null) ask?.reject(errorFromRecord(error))
  }

  spawned(spawner: Spawner): void {
    this.#spawners.set(spawner.callId, spawner)
  }

  /** Nobody asks for the numbers of what it spawned. */
  forgetSpawner(callId: number): void {
    this.#spawners.delete(callId)
  }

  accepted(callId: number, ...given: Parameters<Spawner['accepted']>): void {
    if (this.#spawners.get(callId)?.accepted(...given) === false) this.#spawners.delete(callId)
  }
}
