import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from '../model/ids.ts'
import type { Assignment, AttemptRef, AttemptResult, Message } from '../model/message.ts'
import type { ProcessorRecord } from '../model/processor.ts'
import type { OutcomeRecord, ReplicatedRecord } from '../model/records.ts'
import type { Outcome } from '../model/task.ts'
import type { Call, Effect } from './effects.ts'
import type { JobState, SchedulerState, TaskState } from './state.ts'

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
  /** Lists of batches, not maps: most steps have one batch or none of each, and looking costs less than a map. */
  readonly #effects: Effect[] = []
  readonly #loopback: Message[] = []
  readonly #assigns: AssignBatch[] = []
  readonly #attempts: AttemptBatch[] = []
  readonly #results: ResultBatch[] = []
  readonly #executes: ExecuteBatch[] = []
  readonly #records: ReplicatedRecord[] = []
  readonly #outcomes: OutcomeBatch[] = []
  readonly #watchers: WatcherBatch[] = []
  readonly #settledSlices: Effect[] = []
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
    for (let at = this.#assigns.length - 1; at >= 0; at--) {
      const batch = this.#assigns[at] as AssignBatch
      if (batch.to !== to || batch.job !== job) continue
      batch.tasks.push(assignment)
      return
    }
    this.#assigns.push({ to, job, tasks: [assignment] })
  }

  /** Adds to the one message of this type for this peer and job. */
  attempt(type: AttemptMessage, to: PeerId, job: JobId, epoch: number, ref: AttemptRef): void {
    for (let at = this.#attempts.length - 1; at >= 0; at--) {
      const batch = this.#attempts[at] as AttemptBatch
      if (batch.type !== type || batch.to !== to || batch.job !== job) continue
      batch.refs.push(ref)
      return
    }
    this.#attempts.push({ type, to, job, epoch, refs: [ref] })
  }

  result(to: PeerId, job: JobId, epoch: number, result: AttemptResult): void {
    for (let at = this.#results.length - 1; at >= 0; at--) {
      const batch = this.#results[at] as ResultBatch
      if (batch.to !== to || batch.job !== job) continue
      batch.results.push(result)
      return
    }
    this.#results.push({ to, job, epoch, results: [result] })
  }

  execute(processor: ProcessorId, call: Call): void {
    for (let at = this.#executes.length - 1; at >= 0; at--) {
      const batch = this.#executes[at] as ExecuteBatch
      if (batch.processor !== processor) continue
      batch.calls.push(call)
      return
    }
    this.#executes.push({ processor, calls: [call] })
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
    if (!this.state.isReplicated) return
    const batch = this.#outcomes.findLast((known) => known.job === job)
    if (batch === undefined) this.#outcomes.push({ job, outcomes: [record] })
    else batch.outcomes.push(record)
  }

  tellWatcher(to: PeerId, job: JobId, record: OutcomeRecord): void {
    const batch = this.#watchers.findLast((known) => known.to === to && known.job === job)
    if (batch === undefined) this.#watchers.push({ to, job, outcomes: [record] })
    else batch.outcomes.push(record)
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
    const batch = takeOwn(this.#assigns, this.state.self)
    if (batch === undefined) return undefined
    const { job, tasks } = batch
    return { type: 'assign', job: job.id, epoch: job.claim.epoch, tasks }
  }

  #takeOwnAttempts(): Message | undefined {
    const batch = takeOwn(this.#attempts, this.state.self)
    if (batch === undefined) return undefined
    const { type, job, epoch, refs } = batch
    return { type, job, epoch, attempts: refs }
  }

  #takeOwnResults(): Message | undefined {
    const batch = takeOwn(this.#results, this.state.self)
    if (batch === undefined) return undefined
    const { job, epoch, results } = batch
    return { type: 'results', job, epoch, results }
  }

  /**
   * The step's effects. Work leaves first, then results and local answers; documents are written
   * before the commits that promise they were.
   */
  takeEffects(): Effect[] {
    const effects: Effect[] = []
    for (const { processor, calls } of this.#executes) effects.push({ type: 'execute', processor, calls })
    for (const { to, job, tasks } of this.#assigns) {
      const message: Message = { type: 'assign', job: job.id, epoch: job.claim.epoch, tasks }
      effects.push({ type: 'send', to, message })
    }
    for (const { to, job, epoch, results } of this.#results)
      effects.push({ type: 'send', to, message: { type: 'results', job, epoch, results } })
    this.#pushWrites(effects)
    for (const effect of this.#effects) effects.push(effect)
    for (const effect of this.#settledSlices) effects.push(effect)
    if (this.#settled.length > 0) effects.push({ type: 'settle', outcomes: this.#settled })
    for (const { to, job, outcomes } of this.#watchers)
      effects.push({ type: 'send', to, message: { type: 'outcomes', job, outcomes } })
    for (const { type, to, job, epoch, refs } of this.#attempts)
      effects.push({ type: 'send', to, message: { type, job, epoch, attempts: refs } })
    return effects
  }

  #pushWrites(effects: Effect[]): void {
    const records = this.#records
    for (const { job, outcomes } of this.#outcomes) {
      records.push({ type: 'outcomes', job: job.id, by: this.state.self, epoch: job.claim.epoch, outcomes })
    }
    if (records.length > 0) effects.push({ type: 'write', records })
  }
}

/** Takes out the first batch that is for this peer itself. */
function takeOwn<B extends { readonly to: PeerId }>(batches: B[], self: PeerId): B | undefined {
  for (let at = 0; at < batches.length; at++) {
    const batch = batches[at] as B
    if (batch.to !== self) continue
    batches.splice(at, 1)
    return batch
  }
  return undefined
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

interface AssignBatch {
  readonly to: PeerId
  readonly job: JobState
  readonly tasks: Assignment[]
}

interface AttemptBatch {
  readonly type: AttemptMessage
  readonly to: PeerId
  readonly job: JobId
  readonly epoch: number
  readonly refs: AttemptRef[]
}

interface ResultBatch {
  readonly to: PeerId
  readonly job: JobId
  readonly epoch: number
  readonly results: AttemptResult[]
}

interface ExecuteBatch {
  readonly processor: ProcessorId
  readonly calls: Call[]
}

interface OutcomeBatch {
  readonly job: JobState
  readonly outcomes: OutcomeRecord[]
}

interface WatcherBatch {
  readonly to: PeerId
  readonly job: JobId
  readonly outcomes: OutcomeRecord[]
}
