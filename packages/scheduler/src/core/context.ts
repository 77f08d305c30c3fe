import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from '../model/ids.ts'
import type { Assignment, AttemptRef, AttemptResult, Message } from '../model/message.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import type { OutcomeRecord, ReplicatedRecord } from '../model/records.ts'
import type { Outcome } from '../model/task.ts'
import type { Call, Effect } from './effects.ts'
import type { JobState, SchedulerState, SliceResult, TaskState } from './state.ts'

/**
 * What one step has decided so far. Everything for one destination is gathered and leaves as one
 * effect, so that a thousand tasks cost one message, one write and one call of the shell.
 */
export class StepContext {
  readonly state: SchedulerState
  /** Something changed that placement should look at. */
  isDirty = false
  /** Tasks whose end still has to reach their dependents. */
  readonly ended: TaskState[] = []
  /** Second runs of done tasks that begin: their inputs are gathered next. */
  readonly begun: TaskState[] = []
  readonly #effects: Effect[] = []
  readonly #loopback: Message[] = []
  readonly #assigns = new Map<PeerId, Map<JobState, Assignment[]>>()
  readonly #attempts = new Map<AttemptMessage, Map<PeerId, Map<JobId, AttemptBatch>>>()
  readonly #results = new Map<PeerId, Map<JobId, { epoch: number; results: AttemptResult[] }>>()
  readonly #executes = new Map<ProcessorId, Call[]>()
  readonly #sliceResults: { readonly job: JobId; readonly result: SliceResult }[] = []
  readonly #records: ReplicatedRecord[] = []
  readonly #outcomes = new Map<JobState, OutcomeRecord[]>()
  readonly #watchers = new Map<PeerId, Map<JobId, OutcomeRecord[]>>()
  #settledSlices: Effect[] = []
  #settled: { ref: TaskRef; outcome: Outcome }[] = []
  #runs: RunBatch[] = []

  constructor(state: SchedulerState) {
    this.state = state
  }

  /** Sends a message; one to this peer itself is handled within the step. */
  send(to: PeerId, message: Message): void {
    if (to === this.state.self) this.#loopback.push(message)
    else this.#effects.push({ type: 'send', to, message })
  }

  emit(effect: Effect): void {
    this.#effects.push(effect)
  }

  assign(to: PeerId, job: JobState, assignment: Assignment): void {
    listIn(mapIn(this.#assigns, to), job).push(assignment)
  }

  /** Adds to the one message of this type for this peer and job. */
  attempt(type: AttemptMessage, to: PeerId, job: JobId, epoch: number, ref: AttemptRef): void {
    const jobs = mapIn(mapIn(this.#attempts, type), to)
    let batch = jobs.get(job)
    if (batch === undefined) {
      batch = { epoch, refs: [] }
      jobs.set(job, batch)
    }
    batch.refs.push(ref)
  }

  result(to: PeerId, job: JobId, epoch: number, result: AttemptResult): void {
    const jobs = mapIn(this.#results, to)
    const batch = jobs.get(job)
    if (batch === undefined) jobs.set(job, { epoch, results: [result] })
    else batch.results.push(result)
  }

  /** A slice ended on this peer, which owns its job. */
  sliceResult(job: JobId, result: SliceResult): void {
    this.#sliceResults.push({ job, result })
  }

  takeSliceResult(): { readonly job: JobId; readonly result: SliceResult } | undefined {
    return this.#sliceResults.shift()
  }

  execute(processor: ProcessorId, call: Call): void {
    listIn(this.#executes, processor).push(call)
  }

  /** Notes that `count` tasks ran well, in `ranMs` together. */
  ran(operation: OperationHash, processor: ProcessorRecord, ranMs: number, count: number): void {
    const last = this.#runs.at(-1)
    if (last !== undefined && last.operation === operation && last.processor === processor) {
      last.count += count
      last.totalMs += ranMs
    } else this.#runs.push({ operation, processor, count, totalMs: ranMs })
  }

  takeRuns(): readonly RunBatch[] {
    if (this.#runs.length === 0) return noRuns
    const runs = this.#runs
    this.#runs = []
    return runs
  }

  write(record: ReplicatedRecord): void {
    if (this.state.isReplicated) this.#records.push(record)
  }

  writeOutcome(job: JobState, record: OutcomeRecord): void {
    if (this.state.isReplicated) listIn(this.#outcomes, job).push(record)
  }

  tellWatcher(to: PeerId, job: JobId, record: OutcomeRecord): void {
    listIn(mapIn(this.#watchers, to), job).push(record)
  }

  /** @param count how many tasks from `ref` on ended so */
  settle(ref: TaskRef, count: number, outcome: Outcome): void {
    if (count === 1) this.#settled.push({ ref, outcome })
    else this.#settledSlices.push({ type: 'settle-slice', ref, count, outcome })
  }

  /** The next message from this peer to itself, assignments and results included. */
  takeLoopback(): Message | undefined {
    if (this.#loopback.length > 0) return this.#loopback.shift()
    return this.#takeOwnAssign() ?? this.#takeOwnAttempts() ?? this.#takeOwnResults()
  }

  #takeOwnAssign(): Message | undefined {
    const mine = this.#assigns.get(this.state.self)
    for (const [job, tasks] of mine ?? []) {
      mine?.delete(job)
      return { type: 'assign', job: job.id, epoch: job.claim.epoch, tasks }
    }
    return undefined
  }

  #takeOwnAttempts(): Message | undefined {
    for (const [type, peers] of this.#attempts) {
      const mine = peers.get(this.state.self)
      for (const [job, batch] of mine ?? []) {
        mine?.delete(job)
        return { type, job, epoch: batch.epoch, attempts: batch.refs }
      }
    }
    return undefined
  }

  #takeOwnResults(): Message | undefined {
    const mine = this.#results.get(this.state.self)
    for (const [job, batch] of mine ?? []) {
      mine?.delete(job)
      return { type: 'results', job, epoch: batch.epoch, results: batch.results }
    }
    return undefined
  }

  /**
   * The step's effects. Work leaves first, then results and local answers; documents are written
   * before the commits that promise they were.
   */
  takeEffects(): Effect[] {
    const effects: Effect[] = []
    for (const [processor, calls] of this.#executes) effects.push({ type: 'execute', processor, calls })
    for (const [to, jobs] of this.#assigns) {
      for (const [job, tasks] of jobs) {
        effects.push({
          type: 'send',
          to,
          message: { type: 'assign', job: job.id, epoch: job.claim.epoch, tasks },
        })
      }
    }
    for (const [to, jobs] of this.#results) {
      for (const [job, { epoch, results }] of jobs) {
        effects.push({ type: 'send', to, message: { type: 'results', job, epoch, results } })
      }
    }
    this.#pushWrites(effects)
    effects.push(...this.#effects)
    effects.push(...this.#settledSlices)
    if (this.#settled.length > 0) effects.push({ type: 'settle', outcomes: this.#settled })
    for (const [to, jobs] of this.#watchers) {
      for (const [job, outcomes] of jobs)
        effects.push({ type: 'send', to, message: { type: 'outcomes', job, outcomes } })
    }
    for (const [type, peers] of this.#attempts) {
      for (const [to, jobs] of peers) {
        for (const [job, { epoch, refs }] of jobs) {
          effects.push({ type: 'send', to, message: { type, job, epoch, attempts: refs } })
        }
      }
    }
    return effects
  }

  #pushWrites(effects: Effect[]): void {
    const records = this.#records
    for (const [job, outcomes] of this.#outcomes) {
      records.push({ type: 'outcomes', job: job.id, by: this.state.self, epoch: job.claim.epoch, outcomes })
    }
    if (records.length > 0) effects.push({ type: 'write', records })
  }
}

/** Runs of one operation on one processor that were told together. */
interface RunBatch {
  readonly operation: OperationHash
  readonly processor: ProcessorRecord
  count: number
  totalMs: number
}

const noRuns: readonly RunBatch[] = Object.freeze([])

type AttemptMessage = 'revoke' | 'abort' | 'commit' | 'audit'

interface AttemptBatch {
  readonly epoch: number
  readonly refs: AttemptRef[]
}

function mapIn<K, K2, V>(maps: Map<K, Map<K2, V>>, key: K): Map<K2, V> {
  let map = maps.get(key)
  if (map === undefined) {
    map = new Map()
    maps.set(key, map)
  }
  return map
}

function listIn<K, V>(lists: Map<K, V[]>, key: K): V[] {
  let list = lists.get(key)
  if (list === undefined) {
    list = []
    lists.set(key, list)
  }
  return list
}
