import {
  type ChunkId,
  ChunkPayload,
  homeOf,
  type JobId,
  type Outcome,
  type PeerId,
  type TaskRef,
  type TaskSpec,
  taskIdOf,
} from '../../index.ts'
import {
  childPrograms,
  failsAlways,
  numberOf,
  numberOfProgram,
  resultOf,
  stampOf,
  unpackProgram,
} from './program.ts'

/** How a task may end, worked out from the programs of it and its inputs, one after another. */
export interface Expected {
  /** `null`: it cannot end as done. */
  readonly number: number | null
  /** Codes that it may fail with, by itself or through its inputs. */
  readonly codes: ReadonlySet<string>
  readonly canCancel: boolean
  /** What users had put of its arguments. */
  readonly puts: ReadonlySet<ChunkId>
  /** What users had put of the arguments of tasks that it needs the outcomes of. */
  readonly lineage: ReadonlySet<ChunkId>
}

/** The right outcomes of a world's tasks, as a single thread would find them. */
export interface Expectations {
  /** Nothing can be said of a task, or of one that needs it, before its specification is known. */
  isKnown(ref: TaskRef): boolean
  of(ref: TaskRef): Expected
  /** Somebody asked for this: it may or may not come in time. */
  cancel(job: JobId, nos: readonly number[] | null): void
  /** What users had put on that peer may have no copy any more, as seen by some. */
  losePuts(home: PeerId): void
  /** Nobody needed this any more that a user had put: what was made of it cannot be made again. */
  dropPut(id: ChunkId): void
  /** Whether the bytes of a chunk may be gone for good, as what users had put went. */
  mayLose(chunk: ChunkPayload): boolean
  /**
   * Why an outcome is not what the task's program gives; `null` when it is right.
   * @param deaths losses of processors and peers up to now: enough of them quarantine any task
   */
  wrong(ref: TaskRef, outcome: Outcome, deaths: number): string | null
}

/** Failures that no program asks for: a world with faults may bring them about. */
const circumstances: ReadonlySet<string> = new Set(['E_NO_PROCESSOR', 'E_NO_DEP', 'E_TASK_POISON', 'E_CHILD'])
/** Those among them that take three deaths. */
const deadly: ReadonlySet<string> = new Set(['E_TASK_POISON', 'E_CHILD'])

export function createExpectations(specs: ReadonlyMap<string, TaskSpec>): Expectations {
  return new SerialReference(specs)
}

class SerialReference implements Expectations {
  readonly #specs: ReadonlyMap<string, TaskSpec>
  readonly #cancelledJobs = new Set<JobId>()
  readonly #cancelledTasks = new Set<string>()
  readonly #lostHomes = new Set<PeerId>()
  readonly #droppedPuts = new Set<ChunkId>()
  readonly #made = new Map<string, Expected>()

  constructor(specs: ReadonlyMap<string, TaskSpec>) {
    this.#specs = specs
  }

  isKnown(ref: TaskRef): boolean {
    const spec = this.#specs.get(taskIdOf(ref))
    return spec?.needs.every((need) => this.isKnown(need.task)) ?? false
  }

  cancel(job: JobId, nos: readonly number[] | null): void {
    this.#made.clear()
    if (nos === null) this.#cancelledJobs.add(job)
    else for (const no of nos) this.#cancelledTasks.add(taskIdOf({ job, no }))
  }

  losePuts(home: PeerId): void {
    this.#lostHomes.add(home)
  }

  dropPut(id: ChunkId): void {
    this.#droppedPuts.add(id)
  }

  mayLose({ ref, task }: ChunkPayload): boolean {
    if (task === null) return this.#lostHomes.has(ref.home)
    const { puts, lineage } = this.of(task)
    return this.#canFail([], [...puts, ...lineage])
  }

  #canFail(puts: Iterable<ChunkId>, lineage: Iterable<ChunkId>): boolean {
    const isLost = (id: ChunkId): boolean => this.#lostHomes.has(homeOf(id) as PeerId)
    return [...puts].some(isLost) || [...lineage].some((id) => isLost(id) || this.#droppedPuts.has(id))
  }

  of(ref: TaskRef): Expected {
    const key = taskIdOf(ref)
    const known = this.#made.get(key)
    if (known !== undefined) return known
    const made = this.#make(key, this.#cancelledJobs.has(ref.job) || this.#cancelledTasks.has(key))
    if (this.isKnown(ref)) this.#made.set(key, made)
    return made
  }

  #make(key: string, canCancel: boolean): Expected {
    const spec = this.#specs.get(key)
    const codes = new Set<string>()
    const puts = new Set<ChunkId>()
    const lineage = new Set<ChunkId>()
    if (spec === undefined) return { number: null, codes, canCancel, puts, lineage }
    if (spec.args instanceof ChunkPayload) puts.add(spec.args.ref.id)
    for (const { chunk } of spec.chunks ?? []) puts.add(chunk.ref.id)
    const program = unpackProgram(spec.args)
    let canEnd = true
    const inputs = (spec.chunks ?? [])
      .filter(({ index }) => index >= 0)
      .map(({ index, chunk }) => ({ index, number: numberOf(chunk) }))
    for (const need of spec.needs) {
      const input = this.of(need.task)
      for (const put of [...input.puts, ...input.lineage]) lineage.add(put)
      for (const code of input.codes) codes.add(code)
      if (input.canCancel || input.codes.has('E_CANCELLED')) codes.add('E_CANCELLED')
      if (input.number === null) canEnd = false
      else if (need.index >= 0) inputs.push({ index: need.index, number: input.number })
    }
    const { retryMax, timeoutMs } = spec.options
    if (program.failTimes > retryMax) codes.add('E_BODY')
    if (program.kills !== 'nothing') codes.add('E_TASK_POISON')
    if (timeoutMs > 0) codes.add('E_TASK_TIMEOUT')
    if (program.children > 0 && canCancel) codes.add('E_CHILD')
    if (program.failTimes === failsAlways || program.kills !== 'nothing' || timeoutMs > 0) canEnd = false
    const numbers = inputs.sort((left, right) => left.index - right.index).map((input) => input.number)
    const number = canEnd ? resultOf(program, numbers, childPrograms(program).map(numberOfProgram)) : null
    return { number, codes, canCancel: canCancel || spec.parent !== null, puts, lineage }
  }

  wrong(ref: TaskRef, outcome: Outcome, deaths: number): string | null {
    if (!this.isKnown(ref)) return null
    const key = taskIdOf(ref)
    const expected = this.of(ref)
    if (outcome.status === 'done') {
      if (expected.number === numberOf(outcome.value)) return null
      return `${key} gave ${describeOutcome(outcome)} where ${describeExpected(expected)} is right`
    }
    if (outcome.status === 'cancelled') {
      return expected.canCancel
        ? null
        : `${key} is cancelled (${outcome.reason}) though nobody asked for that`
    }
    const code = outcome.error.code ?? ''
    if (expected.codes.has(code)) return null
    if (code === 'E_CHUNK_LOST' && this.#canFail(expected.puts, expected.lineage)) return null
    if (deadly.has(code) && deaths < 3) return `${key} failed with ${code} after ${deaths} deaths in all`
    if (circumstances.has(code)) return null
    const cause = outcome.error.cause === null ? '' : `, as ${outcome.error.cause.message}`
    return `${key} failed with ${code} (${outcome.error.message}${cause}) where ${describeExpected(expected)} is right`
  }
}

/** Equal for equal outcomes; tells executions apart by their stamp. */
export function describeOutcome(outcome: Outcome): string {
  if (outcome.status === 'done') {
    return `done ${numberOf(outcome.value).toString(16)}*${stampOf(outcome.value)}`
  }
  if (outcome.status === 'cancelled') return `cancelled ${outcome.reason}`
  return `failed ${outcome.error.code} of ${taskIdOf(outcome.origin)} after ${outcome.attempts} on ${outcome.peer}`
}

function describeExpected(expected: Expected): string {
  const codes = [...expected.codes].join('|')
  const value = expected.number === null ? 'no value' : expected.number.toString(16)
  return codes === '' ? value : `${value} or ${codes}`
}
