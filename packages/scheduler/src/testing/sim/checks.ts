import {
  type Assignment,
  type Call,
  type ChunkId,
  type ChunkPayload,
  type Claim,
  isNewerClaim,
  type JobId,
  type Message,
  nestedBase,
  noNeeds,
  type Outcome,
  type OutcomeRecord,
  type PeerId,
  type RangeSpec,
  type RangeValues,
  type ReplicatedRecord,
  type SliceAssignment,
  type TaskRef,
  type TaskSpec,
  taskIdOf,
} from '../../index.ts'
import { createExpectations, describeOutcome, type Expectations } from './expected.ts'
import { numberOf } from './program.ts'

/** Everything that happened in a world, as far as the rules need it, and the rules themselves. */
export interface History {
  readonly violations: readonly string[]
  /** Executions of each task, by task id. */
  readonly executions: ReadonlyMap<string, number>
  /** Deaths of processors and of peers in views: what may quarantine a task that is not to blame. */
  readonly deaths: number
  readonly takeovers: number
  violate(rule: string, text: string): void
  /** A peer starts, knowing nothing. */
  started(peer: number): void
  /** A peer died or left: what only its memory had is gone. */
  died(peer: number): void
  submitted(peer: number, job: JobId, specs: readonly TaskSpec[]): void
  cancelled(job: JobId, nos: readonly number[] | null): void
  /** What users had put on that peer may have no copy any more, as seen by some. */
  lostPuts(home: PeerId): void
  /** Nobody needed this any more that a user had put. */
  droppedPut(id: ChunkId): void
  /** Whether the bytes of a chunk may be gone for good, as what users had put went. */
  mayLose(chunk: ChunkPayload): boolean
  wrote(peer: number, id: PeerId, records: readonly ReplicatedRecord[]): void
  arrived(peer: number, records: readonly ReplicatedRecord[]): void
  sent(peer: number, id: PeerId, message: Message): void
  delivered(peer: number, id: PeerId, from: PeerId, message: Message): void
  /** A body starts; gives the number of this execution over the whole world. */
  executed(peer: number, call: Call): number
  /** How many executions of a task threw; counts this one when `isThrowing`. */
  failures(ref: TaskRef, isThrowing: boolean): number
  processorDied(): void
  peerLost(): void
  settled(peer: number, ref: TaskRef, outcome: Outcome): void
  /** What a watcher on this start was told last. */
  lastSettled(peer: number, ref: TaskRef): string | null
  spec(key: string): TaskSpec | undefined
  /** Accepted tasks that a live member holds. */
  durable(): readonly TaskRef[]
}

/**
 * @param size number of peers
 * @param turn number of the event that runs at present
 * @param submitterOf the peer that opened a job
 * @param onViolation told of each broken rule as it is broken
 */
export function createHistory(
  size: number,
  turn: () => number,
  submitterOf: (job: JobId) => number,
  onViolation: (rule: string, text: string) => void,
): History {
  return new WorldHistory(size, turn, submitterOf, onViolation)
}

/** What one start of one peer was told, as far as the rules depend on it. */
interface Knowledge {
  readonly claims: Map<JobId, Claim>
  /** Tasks whose end it knows, with the turn in which it heard. */
  readonly outcomes: Map<string, number>
  /** Claims of its own, as `job@epoch`. */
  readonly claimed: Set<string>
  readonly settled: Map<string, string>
  /** Attempts that came from an owner that this peer knew to be replaced. */
  readonly forbidden: Set<string>
  readonly accepted: Set<string>
}

interface Written {
  readonly epoch: number
  readonly text: string
}

interface HeardClaim {
  readonly turn: number
  readonly peer: Knowledge
  readonly job: JobId
  readonly claim: Claim
}

type OutcomesRecord = Extract<ReplicatedRecord, { type: 'outcomes' }>
type ClaimRecord = Extract<ReplicatedRecord, { type: 'claim' }>

/** A world that breaks one rule breaks it often. */
const violationsMax = 20

class WorldHistory implements History {
  readonly violations: string[] = []
  readonly executions = new Map<string, number>()
  deaths = 0
  takeovers = 0
  readonly #turn: () => number
  readonly #submitterOf: (job: JobId) => number
  readonly #onViolation: (rule: string, text: string) => void
  readonly #knowledge: Knowledge[]
  readonly #specs = new Map<string, TaskSpec>()
  readonly #refs = new Map<string, TaskRef>()
  /** Peers that hold a task's specification, and its outcome, in memory. */
  readonly #holders = new Map<string, Set<number>>()
  readonly #outcomeHolders = new Map<string, Set<number>>()
  readonly #written = new Map<string, Written[]>()
  readonly #thrown = new Map<string, number>()
  readonly #restarted = new Set<number>()
  readonly #heard: HeardClaim[] = []
  readonly #expectations: Expectations = createExpectations(this.#specs)
  #stamps = 0

  constructor(
    size: number,
    turn: () => number,
    submitterOf: (job: JobId) => number,
    onViolation: (rule: string, text: string) => void,
  ) {
    this.#onViolation = onViolation
    this.#turn = turn
    this.#submitterOf = submitterOf
    this.#knowledge = Array.from({ length: size }, newKnowledge)
  }

  violate(rule: string, text: string): void {
    if (this.violations.length >= violationsMax) return
    this.violations.push(`[${rule}] ${text}`)
    this.#onViolation(rule, text)
  }

  started(peer: number): void {
    this.#knowledge[peer] = newKnowledge()
  }

  died(peer: number): void {
    this.#restarted.add(peer)
    for (const holding of this.#holders.values()) holding.delete(peer)
    for (const holding of this.#outcomeHolders.values()) holding.delete(peer)
  }

  submitted(peer: number, job: JobId, specs: readonly TaskSpec[]): void {
    this.#learnSpecs(peer, job, specs)
  }

  cancelled(job: JobId, nos: readonly number[] | null): void {
    this.#expectations.cancel(job, nos)
  }

  lostPuts(home: PeerId): void {
    this.#expectations.losePuts(home)
  }

  droppedPut(id: ChunkId): void {
    this.#expectations.dropPut(id)
  }

  mayLose(chunk: ChunkPayload): boolean {
    return this.#expectations.mayLose(chunk)
  }

  wrote(peer: number, id: PeerId, records: readonly ReplicatedRecord[]): void {
    for (const record of records) {
      if (record.type === 'specs') this.#learnSpecs(peer, record.job, record.specs)
      else if (record.type === 'range') this.#learnSpecs(peer, record.job, tasksOfRange(record.range))
      else if (record.type === 'claim') this.#wroteClaim(peer, id, record)
      else if (record.type === 'job') this.#learnClaim(peer, record.job, { peer: id, epoch: 1 })
      else if (record.type === 'outcomes') this.#wroteOutcomes(peer, id, record)
    }
  }

  arrived(peer: number, records: readonly ReplicatedRecord[]): void {
    for (const record of records) {
      if (record.type === 'specs') this.#learnSpecs(peer, record.job, record.specs)
      else if (record.type === 'range') this.#learnSpecs(peer, record.job, tasksOfRange(record.range))
      else if (record.type === 'claim') {
        this.#learnClaim(peer, record.job, { peer: record.by, epoch: record.epoch })
      } else if (record.type === 'outcomes') {
        for (const { no } of record.outcomes.flatMap(singleOutcomes))
          this.#learnOutcome(peer, taskIdOf({ job: record.job, no }))
      }
    }
  }

  sent(peer: number, id: PeerId, message: Message): void {
    if (message.type !== 'assign' && message.type !== 'adopt') return
    const { job, epoch } = message
    this.#checkOwner(peer, id, job, epoch, message.type === 'assign' ? 'assigns' : 'adopts')
    if (epoch > 1 && !this.#knows(peer).claimed.has(`${job}@${epoch}`)) {
      this.violate('unclaimed', `${id} acts for ${job} at epoch ${epoch} and never claimed it`)
    }
    if (message.type !== 'assign') return
    // To make a lost chunk again is to run a task that has ended.
    const first = message.tasks.filter(({ remakes }) => remakes === undefined)
    for (const no of first.flatMap(numbersOf)) {
      const key = taskIdOf({ job, no })
      const heardAt = this.#knows(peer).outcomes.get(key)
      if (heardAt !== undefined && heardAt < this.#turn()) {
        this.violate('ended', `${id} assigns ${key}, which has ended`)
      }
    }
  }

  delivered(peer: number, id: PeerId, from: PeerId, message: Message): void {
    if (message.type !== 'assign' && message.type !== 'adopt' && message.type !== 'audit') return
    const known = this.#claimOf(peer, message.job)
    const isOld = known !== undefined && known.epoch > message.epoch
    if (message.type === 'assign') {
      const { accepted, forbidden } = this.#knows(peer)
      for (const task of message.tasks) {
        for (const no of numbersOf(task)) {
          const key = `${message.job}/${no}:${task.attempt} ${from}`
          // The same assignment may have come before, in time.
          if (!isOld) accepted.add(key)
          else if (!accepted.has(key)) forbidden.add(key)
        }
      }
    }
    if (!isOld && from !== id) this.#learnClaim(peer, message.job, { peer: from, epoch: message.epoch })
  }

  executed(peer: number, call: Call): number {
    const key = taskIdOf(call)
    this.executions.set(key, (this.executions.get(key) ?? 0) + 1)
    if (this.#knows(peer).forbidden.has(`${key}:${call.attempt} ${call.owner}`)) {
      const text = `p${peer} runs ${key}:${call.attempt} for ${call.owner}, which it knows to be replaced`
      this.violate('fence', text)
    }
    this.#checkInputs(key, call)
    return ++this.#stamps
  }

  failures(ref: TaskRef, isThrowing: boolean): number {
    const key = taskIdOf(ref)
    const count = (this.#thrown.get(key) ?? 0) + (isThrowing ? 1 : 0)
    this.#thrown.set(key, count)
    return count
  }

  processorDied(): void {
    this.deaths++
  }

  peerLost(): void {
    this.deaths++
  }

  settled(peer: number, ref: TaskRef, outcome: Outcome): void {
    const key = taskIdOf(ref)
    const text = describeOutcome(outcome)
    const before = this.#knows(peer).settled.get(key)
    this.#knows(peer).settled.set(key, text)
    // A task that never came here cannot be told of.
    const isUnknown = this.#holders.get(key)?.has(peer) !== true && isNoTask(outcome)
    const wrong = isUnknown ? null : this.#expectations.wrong(ref, outcome, this.deaths)
    if (wrong !== null) this.violate('value', `p${peer} is told ${wrong}`)
    if (before === undefined || before === text) return
    // What the submitter committed itself stands for ever; what two successors did may be corrected.
    const isSubmitter = this.#submitterOf(ref.job) === peer && !this.#restarted.has(peer)
    const written = this.#written.get(key) ?? []
    const isOwn = written.some((record) => record.epoch === 1 && record.text === before)
    if (isSubmitter && isOwn) {
      this.violate('stable', `the submitter p${peer} saw ${key} change from ${before} to ${text}`)
    }
  }

  lastSettled(peer: number, ref: TaskRef): string | null {
    return this.#knows(peer).settled.get(taskIdOf(ref)) ?? null
  }

  spec(key: string): TaskSpec | undefined {
    return this.#specs.get(key)
  }

  durable(): readonly TaskRef[] {
    const refs: TaskRef[] = []
    for (const [key, holding] of this.#holders) {
      // An outcome that went down with every disk that had it cannot be told to anybody.
      const isLost = this.#outcomeHolders.get(key)?.size === 0
      const ref = this.#refs.get(key)
      // Children matter to their parent's attempt alone: when that is superseded, so are they.
      const isChild = this.#specs.get(key)?.parent !== null
      if (holding.size > 0 && !isLost && !isChild && ref !== undefined) refs.push(ref)
    }
    return refs
  }

  #knows(peer: number): Knowledge {
    return this.#knowledge[peer] as Knowledge
  }

  /** What a peer hears counts from its next turn on: within this one it may not have looked at it yet. */
  #learnClaim(peer: number, job: JobId, claim: Claim): void {
    this.#heard.push({ turn: this.#turn(), peer: this.#knows(peer), job, claim })
  }

  #claimOf(peer: number, job: JobId): Claim | undefined {
    for (let next = this.#heard[0]; next !== undefined && next.turn < this.#turn(); next = this.#heard[0]) {
      this.#heard.shift()
      const known = next.peer.claims.get(next.job)
      if (known === undefined || isNewerClaim(next.claim, known)) next.peer.claims.set(next.job, next.claim)
    }
    return this.#knows(peer).claims.get(job)
  }

  #learnSpecs(peer: number, job: JobId, batch: readonly TaskSpec[]): void {
    for (const spec of batch) {
      const ref = { job, no: spec.no }
      const key = taskIdOf(ref)
      if (!this.#specs.has(key)) {
        this.#specs.set(key, spec)
        this.#refs.set(key, ref)
      }
      hold(this.#holders, key, peer)
    }
  }

  #learnOutcome(peer: number, key: string): void {
    const { outcomes } = this.#knows(peer)
    if (!outcomes.has(key)) outcomes.set(key, this.#turn())
    hold(this.#outcomeHolders, key, peer)
  }

  /** A peer acts as owner: it must not know of a newer one. */
  #checkOwner(peer: number, id: PeerId, job: JobId, epoch: number, what: string): void {
    const known = this.#claimOf(peer, job)
    if (known === undefined || !isNewerClaim(known, { peer: id, epoch })) return
    this.violate(
      'owner',
      `${id} ${what} ${job} at epoch ${epoch} though it knows ${known.peer}@${known.epoch}`,
    )
  }

  #wroteClaim(peer: number, id: PeerId, { job, epoch }: ClaimRecord): void {
    if (epoch > 1) this.takeovers++
    this.#knows(peer).claimed.add(`${job}@${epoch}`)
    const known = this.#claimOf(peer, job)
    if (known !== undefined && known.epoch >= epoch && epoch > 1) {
      this.violate('epoch', `${id} claims ${job} at ${epoch} though it knows ${known.peer}@${known.epoch}`)
    }
    this.#learnClaim(peer, job, { peer: id, epoch })
  }

  #wroteOutcomes(peer: number, id: PeerId, { job, epoch, by, outcomes }: OutcomesRecord): void {
    this.#checkOwner(peer, id, job, epoch, 'commits')
    if (by !== id) this.violate('by', `${id} writes outcomes of ${job} as ${by}`)
    for (const { no, outcome } of outcomes.flatMap(singleOutcomes)) {
      const ref = { job, no }
      const key = taskIdOf(ref)
      const wrong = this.#expectations.wrong(ref, outcome, this.deaths)
      if (wrong !== null) this.violate('value', wrong)
      if (this.#knows(peer).outcomes.has(key)) {
        this.violate('commit-once', `${id} commits ${key} again at epoch ${epoch}`)
      }
      this.#learnOutcome(peer, key)
      const written = this.#written.get(key) ?? []
      written.push({ epoch, text: describeOutcome(outcome) })
      this.#written.set(key, written)
    }
  }

  /** The values that a body gets must be those of its inputs. */
  #checkInputs(key: string, call: Call): void {
    const spec = this.#specs.get(key)
    if (spec === undefined) {
      // Children run where their owner is before it has written them down.
      if (call.no < nestedBase) this.violate('unknown', `${key} runs though nobody submitted it`)
      return
    }
    const needs = spec.needs.filter((need) => need.index >= 0)
    const chunks = (spec.chunks ?? []).filter(({ index }) => index >= 0)
    const count = needs.length + chunks.length
    if (count !== call.inputs.length)
      this.violate('inputs', `${key} runs with ${call.inputs.length} inputs where it needs ${count}`)
    for (const { index, chunk } of chunks) {
      const input = call.inputs.find((other) => other.index === index)
      if (input === undefined || numberOf(input.value) !== numberOf(chunk))
        this.violate('inputs', `${key} runs with a wrong value for ${chunk.ref.id}`)
    }
    for (const { index, task } of needs) {
      if (!this.#expectations.isKnown(task)) continue
      const input = call.inputs.find((other) => other.index === index)
      if (input === undefined || this.#expectations.of(task).number !== numberOf(input.value)) {
        this.violate('inputs', `${key} runs with a wrong value for ${taskIdOf(task)}`)
      }
    }
  }
}

function numbersOf(task: Assignment): number[] {
  const count = 'items' in task ? (task as SliceAssignment).items.count : 1
  return Array.from({ length: count }, (_, index) => task.no + index)
}

function tasksOfRange({ first, operation, options, items }: RangeSpec): TaskSpec[] {
  return Array.from({ length: items.count }, (_, index) => ({
    no: first + index,
    operation,
    args: items.at(index),
    needs: noNeeds,
    options,
    parent: null,
  }))
}

function singleOutcomes({ no, count = 1, outcome }: OutcomeRecord): OutcomeRecord[] {
  if (count === 1) return [{ no, outcome }]
  return Array.from({ length: count }, (_, index) => {
    const value = outcome.status === 'done' ? (outcome.value as RangeValues).at(index) : null
    return { no: no + index, outcome: value === null ? outcome : ({ ...outcome, value } as Outcome) }
  })
}

function hold(holders: Map<string, Set<number>>, key: string, peer: number): void {
  const holding = holders.get(key)
  if (holding === undefined) holders.set(key, new Set([peer]))
  else holding.add(peer)
}

function newKnowledge(): Knowledge {
  return {
    claims: new Map(),
    outcomes: new Map(),
    claimed: new Set(),
    settled: new Map(),
    forbidden: new Set(),
    accepted: new Set(),
  }
}

function isNoTask(outcome: Outcome): boolean {
  return outcome.status === 'failed' && outcome.error.code === 'E_NO_TASK'
}
