import {
  type Call,
  type CallEnded,
  type Claim,
  isNewerClaim,
  type JobId,
  type Message,
  nestedBase,
  type Outcome,
  type PeerId,
  type ReplicatedRecord,
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
import type { SimAction } from './workload.ts'

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
}

interface Written {
  readonly by: PeerId
  readonly epoch: number
  readonly text: string
}

/** Everything that happened in a world, as far as the rules need it, and the rules themselves. */
export interface History {
  readonly violations: readonly string[]
  readonly executions: ReadonlyMap<string, number>
  /** Deaths of processors and of peers in views: what may quarantine a task that is not to blame. */
  readonly deaths: number
  readonly takeovers: number
  violate(rule: string, text: string): void
  started(peer: number): void
  died(peer: number): void
  submitted(peer: number, job: JobId, specs: readonly TaskSpec[]): void
  cancelled(job: JobId, nos: readonly number[] | null): void
  wrote(peer: number, id: PeerId, records: readonly ReplicatedRecord[]): void
  arrived(peer: number, records: readonly ReplicatedRecord[]): void
  sent(peer: number, id: PeerId, message: Message): void
  delivered(peer: number, id: PeerId, from: PeerId, message: Message): void
  executed(peer: number, call: Call): number
  failures(ref: TaskRef, isThrowing: boolean): number
  ended(peer: number, ended: readonly CallEnded[]): void
  processorDied(): void
  peerLost(): void
  settled(peer: number, ref: TaskRef, outcome: Outcome): void
  /** What a watcher on this start was told last. */
  lastSettled(peer: number, ref: TaskRef): string | null
  spec(ref: TaskRef): TaskSpec | undefined
  /** Accepted tasks that a live member holds. */
  durable(): readonly TaskRef[]
  /** The outcome that every reader must end with, from all records written. */
  finalOutcome(ref: TaskRef): string | null
  /** Why an outcome is not what the task's program gives; `null` when it is right. */
  wrongOutcome(ref: TaskRef, outcome: Outcome): string | null
}

/**
 * @param turn number of the event that runs at present
 * @param submitterOf the peer that opened a job
 */
export function createHistory(
  size: number,
  turn: () => number,
  submitterOf: (job: JobId) => number,
): History {
  const violations: string[] = []
  const knowledge: Knowledge[] = Array.from({ length: size }, newKnowledge)
  const specs = new Map<string, TaskSpec>()
  const refs = new Map<string, TaskRef>()
  /** Peers that hold a task's specification, and its outcome, in memory. */
  const holders = new Map<string, Set<number>>()
  const outcomeHolders = new Map<string, Set<number>>()
  const written = new Map<string, Written[]>()
  const executions = new Map<string, number>()
  const thrown = new Map<string, number>()
  const cancelledJobs = new Set<JobId>()
  const cancelledTasks = new Set<string>()
  const restarted = new Set<number>()
  let stamps = 0
  let deaths = 0
  let takeovers = 0

  const violate = (rule: string, text: string): void => {
    if (violations.length < 20) violations.push(`[${rule}] ${text}`)
  }
  const knows = (peer: number): Knowledge => knowledge[peer] as Knowledge
  /** What a peer hears counts from its next turn on: within this one it may not have looked at it yet. */
  const heard: {
    readonly turn: number
    readonly peer: Knowledge
    readonly job: JobId
    readonly claim: Claim
  }[] = []
  const settleHeard = (): void => {
    for (let next = heard[0]; next !== undefined && next.turn < turn(); next = heard[0]) {
      heard.shift()
      const known = next.peer.claims.get(next.job)
      if (known === undefined || isNewerClaim(next.claim, known)) next.peer.claims.set(next.job, next.claim)
    }
  }
  const learnClaim = (peer: number, job: JobId, claim: Claim): void => {
    settleHeard()
    heard.push({ turn: turn(), peer: knows(peer), job, claim })
  }
  const claimOf = (peer: number, job: JobId): Claim | undefined => {
    settleHeard()
    return knows(peer).claims.get(job)
  }
  const learnSpecs = (peer: number, job: JobId, batch: readonly TaskSpec[]): void => {
    for (const spec of batch) {
      const ref = { job, no: spec.no }
      const key = taskIdOf(ref)
      if (!specs.has(key)) {
        specs.set(key, spec)
        refs.set(key, ref)
      }
      hold(holders, key, peer)
    }
  }
  /** A peer acts as owner: it must not know of a newer one. */
  const checkOwner = (peer: number, id: PeerId, job: JobId, epoch: number, what: string): void => {
    const known = claimOf(peer, job)
    if (known === undefined) return
    if (isNewerClaim(known, { peer: id, epoch })) {
      violate('owner', `${id} ${what} ${job} at epoch ${epoch} though it knows ${known.peer}@${known.epoch}`)
    }
  }
  const wroteOutcomes = (
    peer: number,
    id: PeerId,
    record: Extract<ReplicatedRecord, { type: 'outcomes' }>,
  ): void => {
    checkOwner(peer, id, record.job, record.epoch, 'commits')
    if (record.by !== id) violate('by', `${id} writes outcomes of ${record.job} as ${record.by}`)
    for (const { no, outcome } of record.outcomes) {
      const ref = { job: record.job, no }
      const key = taskIdOf(ref)
      const wrong = history.wrongOutcome(ref, outcome)
      if (wrong !== null) violate('value', wrong)
      if (knows(peer).outcomes.has(key))
        violate('commit-once', `${id} commits ${key} again at epoch ${record.epoch}`)
      knows(peer).outcomes.set(key, turn())
      hold(outcomeHolders, key, peer)
      const all = written.get(key) ?? []
      all.push({ by: record.by, epoch: record.epoch, text: describeOutcome(outcome) })
      written.set(key, all)
    }
  }
  const history: History = {
    violations,
    executions,
    get deaths() {
      return deaths
    },
    get takeovers() {
      return takeovers
    },
    violate,
    started(peer) {
      knowledge[peer] = newKnowledge()
    },
    died(peer) {
      restarted.add(peer)
      for (const holding of holders.values()) holding.delete(peer)
      for (const holding of outcomeHolders.values()) holding.delete(peer)
    },
    submitted: (peer, job, batch) => learnSpecs(peer, job, batch),
    cancelled(job, nos) {
      expectations.clear()
      if (nos === null) cancelledJobs.add(job)
      else for (const no of nos) cancelledTasks.add(taskIdOf({ job, no }))
    },
    wrote(peer, id, records) {
      for (const record of records) {
        if (record.type === 'specs') learnSpecs(peer, record.job, record.specs)
        else if (record.type === 'claim') {
          if (record.epoch > 1) takeovers++
          knows(peer).claimed.add(`${record.job}@${record.epoch}`)
          const known = claimOf(peer, record.job)
          if (known !== undefined && known.epoch >= record.epoch && record.epoch > 1) {
            violate(
              'epoch',
              `${id} claims ${record.job} at ${record.epoch} though it knows ${known.peer}@${known.epoch}`,
            )
          }
          learnClaim(peer, record.job, { peer: id, epoch: record.epoch })
        } else if (record.type === 'job') learnClaim(peer, record.job, { peer: id, epoch: 1 })
        else if (record.type === 'outcomes') wroteOutcomes(peer, id, record)
      }
    },
    arrived(peer, records) {
      for (const record of records) {
        if (record.type === 'specs') learnSpecs(peer, record.job, record.specs)
        else if (record.type === 'claim')
          learnClaim(peer, record.job, { peer: record.by, epoch: record.epoch })
        else if (record.type === 'outcomes') {
          for (const { no } of record.outcomes) {
            const key = taskIdOf({ job: record.job, no })
            if (!knows(peer).outcomes.has(key)) knows(peer).outcomes.set(key, turn())
            hold(outcomeHolders, key, peer)
          }
        }
      }
    },
    sent(peer, id, message) {
      if (message.type === 'assign' || message.type === 'adopt') {
        checkOwner(peer, id, message.job, message.epoch, message.type === 'assign' ? 'assigns' : 'adopts')
        if (message.epoch > 1 && !knows(peer).claimed.has(`${message.job}@${message.epoch}`)) {
          violate('unclaimed', `${id} acts for ${message.job} at epoch ${message.epoch} and never claimed it`)
        }
      }
      if (message.type !== 'assign') return
      for (const { no } of message.tasks) {
        const key = taskIdOf({ job: message.job, no })
        const heardAt = knows(peer).outcomes.get(key)
        if (heardAt !== undefined && heardAt < turn())
          violate('ended', `${id} assigns ${key}, which has ended`)
      }
    },
    delivered(peer, id, from, message) {
      if (!('epoch' in message)) return
      const known = claimOf(peer, message.job)
      const isCommand = message.type === 'assign' || message.type === 'adopt' || message.type === 'audit'
      if (message.type === 'assign' && known !== undefined && known.epoch > message.epoch) {
        for (const task of message.tasks)
          knows(peer).forbidden.add(`${message.job}/${task.no}:${task.attempt} ${from}`)
      } else if (isCommand && from !== id) learnClaim(peer, message.job, { peer: from, epoch: message.epoch })
    },
    executed(peer, call) {
      const key = taskIdOf(call)
      executions.set(key, (executions.get(key) ?? 0) + 1)
      if (knows(peer).forbidden.has(`${key}:${call.attempt} ${call.owner}`)) {
        violate(
          'fence',
          `p${peer} runs ${key}:${call.attempt} for ${call.owner}, which it knows to be replaced`,
        )
      }
      checkInputs(key, call)
      return ++stamps
    },
    failures(ref, isThrowing) {
      const key = taskIdOf(ref)
      const count = (thrown.get(key) ?? 0) + (isThrowing ? 1 : 0)
      thrown.set(key, count)
      return count
    },
    ended() {},
    processorDied() {
      deaths++
    },
    peerLost() {
      deaths++
    },
    settled(peer, ref, outcome) {
      const key = taskIdOf(ref)
      const text = describeOutcome(outcome)
      const before = knows(peer).settled.get(key)
      knows(peer).settled.set(key, text)
      const wrong = history.wrongOutcome(ref, outcome)
      if (wrong !== null) violate('value', `p${peer} is told ${wrong}`)
      if (before === undefined || before === text) return
      // What the submitter committed itself stands for ever; what two successors did may be corrected.
      const isSubmitter = submitterOf(ref.job) === peer && !restarted.has(peer)
      const isOwn = written.get(key)?.some((record) => record.epoch === 1 && record.text === before) ?? false
      if (isSubmitter && isOwn)
        violate('stable', `the submitter p${peer} saw ${key} change from ${before} to ${text}`)
    },
    lastSettled: (peer, ref) => knows(peer).settled.get(taskIdOf(ref)) ?? null,
    spec: (ref) => specs.get(taskIdOf(ref)),
    durable: () =>
      [...holders].flatMap(([key, holding]) => {
        // An outcome that went down with every disk that had it cannot be told to anybody.
        const isLost = outcomeHolders.get(key)?.size === 0
        return holding.size > 0 && !isLost ? [refs.get(key) as TaskRef] : []
      }),
    finalOutcome(ref) {
      let best: Written | null = null
      for (const record of written.get(taskIdOf(ref)) ?? []) {
        if (
          best === null ||
          record.epoch < best.epoch ||
          (record.epoch === best.epoch && record.by > best.by)
        ) {
          best = record
        }
      }
      return best?.text ?? null
    },
    wrongOutcome(ref, outcome) {
      if (!isKnown(ref)) return null
      const expected = expectedOf(ref)
      const key = taskIdOf(ref)
      const actual = describeOutcome(outcome)
      if (outcome.status === 'done') {
        if (expected.number === numberOf(outcome.value)) return null
        return `${key} gave ${actual} where ${describeExpected(expected)} is right`
      }
      if (outcome.status === 'cancelled') {
        return expected.canCancel
          ? null
          : `${key} is cancelled (${outcome.reason}) though nobody asked for that`
      }
      const code = outcome.error.code ?? ''
      if (expected.codes.has(code) || circumstances.has(code)) {
        // A child may have been quarantined, too.
        const needsDeaths = code === 'E_TASK_POISON' || code === 'E_CHILD'
        return needsDeaths && !expected.codes.has(code) && deaths < 3
          ? `${key} failed with ${code} after ${deaths} deaths in all`
          : null
      }
      return `${key} failed with ${code} (${outcome.error.message}) where ${describeExpected(expected)} is right`
    },
  }

  /** The values that a body gets must be those of its inputs. */
  const checkInputs = (key: string, call: Call): void => {
    const spec = specs.get(key)
    if (spec === undefined) {
      // Children run here before their owner has written them down.
      if (call.no < nestedBase) violate('unknown', `${key} runs though nobody submitted it`)
      return
    }
    const needs = spec.needs.filter((need) => need.index >= 0)
    if (needs.length !== call.inputs.length) {
      violate('inputs', `${key} runs with ${call.inputs.length} inputs where it needs ${needs.length}`)
    }
    for (const need of needs) {
      const input = call.inputs.find((other) => other.index === need.index)
      if (!isKnown(need.task)) continue
      if (input === undefined || expectedOf(need.task).number !== numberOf(input.value)) {
        violate('inputs', `${key} runs with a wrong value for ${taskIdOf(need.task)}`)
      }
    }
  }

  const expectations = new Map<string, Expected>()
  const expectedOf = (ref: TaskRef): Expected => {
    const key = taskIdOf(ref)
    const canCancel = cancelledJobs.has(ref.job) || cancelledTasks.has(key)
    const known = expectations.get(key)
    if (known !== undefined && known.canCancel === canCancel) return known
    const made = makeExpected(key, canCancel)
    expectations.set(key, made)
    return made
  }
  /** Nothing can be said of a task, or of one that needs it, before its specification is known. */
  const isKnown = (ref: TaskRef): boolean => {
    const spec = specs.get(taskIdOf(ref))
    return spec?.needs.every((need) => isKnown(need.task)) ?? false
  }
  const makeExpected = (key: string, canCancel: boolean): Expected => {
    const spec = specs.get(key)
    if (spec === undefined) return { number: null, codes: new Set(), canCancel }
    const program = unpackProgram(spec.args)
    const codes = new Set<string>()
    let number: number | null = 0
    const inputs: number[] = []
    for (const need of [...spec.needs].sort((left, right) => left.index - right.index)) {
      const input = expectedOf(need.task)
      for (const code of input.codes) codes.add(code)
      if (input.canCancel || cancelledBelow(input)) codes.add('E_CANCELLED')
      if (input.number === null) number = null
      else if (need.index >= 0) inputs.push(input.number)
    }
    if (number !== null) {
      const children = childPrograms(program).map(numberOfProgram)
      number = resultOf(program, inputs, children)
    }
    if (program.failTimes > 0) codes.add('E_BODY')
    if (program.failTimes === failsAlways) number = null
    if (program.kills !== 'nothing') {
      codes.add('E_TASK_POISON')
      number = null
    }
    if (spec.options.timeoutMs > 0) {
      codes.add('E_TASK_TIMEOUT')
      number = null
    }
    if (program.children > 0 && canCancel) codes.add('E_CHILD')
    return { number, codes, canCancel: canCancel || spec.parent !== null }
  }
  return history
}

interface Expected {
  /** `null`: it cannot end as done. */
  readonly number: number | null
  /** Codes that it may fail with, by itself or through its inputs. */
  readonly codes: ReadonlySet<string>
  readonly canCancel: boolean
}

function cancelledBelow(expected: Expected): boolean {
  return expected.codes.has('E_CANCELLED')
}

/** Failures that no program asks for: a world with faults may bring them about. */
const circumstances: ReadonlySet<string> = new Set(['E_NO_PROCESSOR', 'E_NO_DEP', 'E_TASK_POISON', 'E_CHILD'])

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
  }
}

/** Equal for equal outcomes; tells executions apart by their stamp. */
export function describeOutcome(outcome: Outcome): string {
  if (outcome.status === 'done')
    return `done ${numberOf(outcome.value).toString(16)}*${stampOf(outcome.value)}`
  if (outcome.status === 'cancelled') return `cancelled ${outcome.reason}`
  return `failed ${outcome.error.code} of ${taskIdOf(outcome.origin)} after ${outcome.attempts} on ${outcome.peer}`
}

function describeExpected(expected: Expected): string {
  const codes = [...expected.codes].join('|')
  return `${expected.number === null ? 'no value' : expected.number.toString(16)}${codes === '' ? '' : ` or ${codes}`}`
}

export type { SimAction }
