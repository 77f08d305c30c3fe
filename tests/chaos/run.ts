import type { Actor } from './actors.ts'
import { type Fault, faults, type Tools } from './faults.ts'
import { judge, percentile, type Submission, type Verdict } from './history.ts'
import type { SubmitKind } from './orders.ts'
import { createDice, type Dice } from './rng.ts'
import { openWorld, type World } from './world.ts'

export interface ChaosOptions {
  readonly seed: number
  /** How long faults are made; the end takes a little longer. */
  readonly durationMs: number
  readonly everyMs: number
  /** Work over the whole run; each fault that ends a peer adds some of its own. */
  readonly tasks: number
  readonly nodes: number
  readonly pages: number
  /** Names of faults to choose from, or a part of each; default: all. */
  readonly only?: string
  readonly log: (line: string) => void
}

export interface ChaosReport {
  readonly seed: number
  readonly seconds: number
  readonly faults: number
  readonly byFault: Readonly<Record<string, number>>
  readonly verdict: Verdict
  readonly recoveryP50Ms: number
  readonly recoveryP99Ms: number
  /** Tasks that loop, fill the heap or kill: with the code that each ended with. */
  readonly special: readonly { readonly kind: string; readonly code: string }[]
  /** What should not have happened, apart from what the verdict counts. */
  readonly troubles: readonly string[]
}

/** Whether all promises held; times are reported only, for a busy machine stretches them. */
export function isGood({ verdict, troubles }: ChaosReport): boolean {
  const { lost, wrong, changed } = verdict
  return lost.length + wrong.length + changed.length + troubles.length === 0
}

/** Codes that the tasks which misbehave may end with. */
const expectedCodes: Readonly<Record<string, readonly string[]>> = {
  hang: ['E_TASK_TIMEOUT'],
  // The peers that they were meant for may be gone by then.
  bomb: ['E_TASK_POISON', 'E_NO_PROCESSOR'],
  poison: ['E_TASK_POISON', 'E_NO_PROCESSOR'],
}
const tasksPerJob = 20
/** Time for those who were away to be heard. */
const againMs = 5_000
/** Longest way back into the room after a fault is over. */
const settleMs = 20_000
/** Longest wait for all work to end after the last fault. */
const endMs = 60_000

/** Runs it: a room, work, faults, an end, a verdict. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const world = await openWorld(options.log)
  const run = new Run(world, options)
  try {
    return await run.play()
  } finally {
    run.stop()
    await world.close()
  }
}

class Run {
  readonly #world: World
  readonly #options: ChaosOptions
  readonly #dice: Dice
  readonly #seats = new Map<Actor, { readonly kind: Actor['kind']; readonly no: number }>()
  readonly #troubles: string[] = []
  readonly #counts: Record<string, number> = {}
  readonly #open = new Set<Promise<void>>()
  readonly #tools: Tools
  #bag: Fault[] = []
  #jobs = 0
  #isOver = false
  /** Poison tasks that have not ended: Node peers may die by themselves. */
  readonly #poisons = new Set<Submission>()

  constructor(world: World, options: ChaosOptions) {
    this.#world = world
    this.#options = options
    this.#dice = createDice(options.seed)
    this.#tools = {
      world,
      dice: this.#dice,
      up: () => this.#up(),
      submit: (by, kind, count, ms, peers) => this.#submit(by, kind, count, ms, peers),
      replace: (actor, isFresh) => this.#replace(actor, isFresh),
      settle: (actor) => this.#settle(actor),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    }
  }

  async play(): Promise<ChaosReport> {
    const { nodes, pages } = this.#options
    const seats = [
      ...Array.from({ length: nodes }, (_, no) => this.#sit('node', no + 1, false)),
      ...Array.from({ length: pages }, (_, no) => this.#sit('page', no + 1, false)),
    ]
    const actors = await Promise.all(seats)
    for (const actor of actors) await this.#settle(actor)
    this.#world.log(`${actors.length} peers see each other; seed ${this.#options.seed}`)
    const from = Date.now()
    await Promise.all([this.#work(from), this.#break(from)])
    await Promise.all([...this.#open])
    await this.#finish()
    return this.#report((Date.now() - from) / 1000)
  }

  /** From now on those who end are not missed. */
  stop(): void {
    this.#isOver = true
  }

  #up(): readonly Actor[] {
    return this.#world.actors.filter((actor) => actor.state === 'up')
  }

  /** Work comes all the time, from anybody. */
  async #work(from: number): Promise<void> {
    const { durationMs, tasks } = this.#options
    const jobs = Math.ceil(tasks / tasksPerJob)
    for (let no = 0; no < jobs; no += 1) {
      await this.#reach(from + ((no + 0.5) * durationMs) / jobs)
      await this.#world.until(() => this.#up().length > 0, settleMs)
      this.#submit(this.#dice.pick(this.#up()), 'work', tasksPerJob, this.#dice.between(10, 50))
    }
  }

  async #break(from: number): Promise<void> {
    const { durationMs, everyMs } = this.#options
    for (let at = everyMs; at < durationMs; at += everyMs) {
      await this.#reach(from + at)
      const fault = this.#draw()
      if (fault === null) {
        this.#world.log('no fault: too few are up')
        continue
      }
      const victim = this.#dice.pick(this.#candidates(fault))
      this.#counts[fault.name] = (this.#counts[fault.name] ?? 0) + 1
      this.#world.log(`${fault.row} ${fault.name}: ${victim.name}`)
      const over = fault.inject(this.#tools, victim).catch((error: unknown) => {
        this.#trouble(`${fault.name} on ${victim.name}: ${error instanceof Error ? error.message : error}`)
      })
      const open = over.then(() => void this.#open.delete(open))
      this.#open.add(open)
    }
  }

  /** The next of a shuffled bag that is possible now: each fault comes as often as any other. */
  #draw(): Fault | null {
    const { only } = this.#options
    if (this.#bag.length === 0) {
      this.#bag = this.#dice.shuffled(faults.filter(({ name }) => only === undefined || name.includes(only)))
    }
    const at = this.#bag.findIndex((fault) => this.#candidates(fault).length > 0)
    if (at >= 0) return this.#bag.splice(at, 1)[0] as Fault
    return this.#dice.shuffled(faults).find((fault) => this.#candidates(fault).length > 0) ?? null
  }

  #candidates({ needs }: Fault): readonly Actor[] {
    const up = this.#up()
    if (up.length < needs.up) return []
    const found = up.filter(({ kind }) => needs.kind === undefined || kind === needs.kind)
    return found.length >= (needs.of ?? 1) ? found : []
  }

  async #reach(at: number): Promise<void> {
    await this.#tools.pause(Math.max(0, at - Date.now()))
  }

  #submit(by: Actor, kind: SubmitKind, count: number, ms: number, peers?: readonly string[]): void {
    const label = `${kind}-${++this.#jobs}`
    const submission = this.#world.history.submit(label, kind, count, by.name)
    if (kind === 'poison') this.#poisons.add(submission)
    by.order({ type: 'submit', kind, label, count, ms, ...(peers === undefined ? {} : { peers }) })
  }

  async #sit(kind: Actor['kind'], no: number, isFresh: boolean): Promise<Actor> {
    const actor = await (kind === 'node' ? this.#world.startNode(no, isFresh) : this.#world.startPage(no))
    this.#seats.set(actor, { kind, no })
    if (actor.kind === 'node') {
      void this.#world.until(() => actor.state === 'gone', 2 ** 31 - 1).then(() => this.#died(actor))
    }
    return actor
  }

  readonly #replaced = new Set<Actor>()

  /** A Node peer ended: by a fault, which replaces it, or by a poison task. */
  async #died(actor: Actor): Promise<void> {
    if (this.#replaced.has(actor) || this.#isOver) return
    await this.#tools.pause(0)
    const wasStruck = this.#world.history.kills.some(
      ({ peer, at }) => peer === actor.peer && Date.now() - at < 2_000,
    )
    if (wasStruck || this.#replaced.has(actor)) return
    this.#world.log(`${actor.name} died of what it ran`)
    if (this.#poisons.size === 0) this.#trouble(`${actor.name} died by itself`)
    this.#world.history.kills.push({ at: Date.now(), peer: actor.peer, name: actor.name, kind: 'poison' })
    const open = this.#replace(actor, false)
      .catch((error: unknown) => this.#trouble(`${actor.name} was not replaced: ${error}`))
      .then(() => void this.#open.delete(open))
    this.#open.add(open)
  }

  async #replace(actor: Actor, isFresh: boolean): Promise<void> {
    if (this.#replaced.has(actor)) return
    this.#replaced.add(actor)
    const seat = this.#seats.get(actor)
    if (seat === undefined) return
    await this.#settle(await this.#sit(seat.kind, seat.no, isFresh))
  }

  async #settle(actor: Actor): Promise<void> {
    const from = Date.now()
    if (await this.#world.meets(actor, settleMs)) {
      if (actor.state === 'hurt') actor.state = 'up'
      const ms = Date.now() - from
      if (ms > 5_000) this.#world.log(`${actor.name} needed ${ms} ms to meet everybody`)
      return
    }
    if (actor.state === 'gone') return
    const others = this.#up().filter((one) => one !== actor)
    const unseen = others.filter((one) => !actor.view.has(one.peer)).map(({ name }) => name)
    const blind = others.filter((one) => !one.view.has(actor.peer)).map(({ name }) => name)
    this.#trouble(`${actor.name} is not back: does not see [${unseen}], is not seen by [${blind}]`)
    if (actor.state === 'hurt') actor.state = 'up'
  }

  /** All work that was accepted must end for everybody who is still there. */
  async #finish(): Promise<void> {
    const { history } = this.#world
    this.#world.log('no more faults')
    const submissions = [...history.submissions.values()]
    // Whoever dies now, of a poison task, no longer waits.
    const isOver = ({ isAccepted, endedFor, by }: Submission): boolean => {
      const isWaiting = this.#up().some(({ name }) => name === by)
      return !isAccepted || (isWaiting ? endedFor.has(by) : endedFor.size > 0)
    }
    const isDone = await this.#world.until(() => submissions.every(isOver), endMs)
    if (!isDone) {
      for (const open of submissions.filter((one) => !isOver(one))) {
        this.#trouble(`${open.label} of ${open.by} has not ended (job ${open.job})`)
        for (const actor of this.#up()) actor.order({ type: 'explain', job: open.job ?? '' })
      }
    }
    // Corrections of what a successor said spread; then everybody tells what is so in the end.
    await this.#tools.pause(againMs)
    for (const actor of this.#up()) actor.order({ type: 'read' })
    await this.#tools.pause(againMs / 2)
  }

  #trouble(text: string): void {
    this.#troubles.push(text)
    this.#world.log(`TROUBLE ${text}`)
  }

  #report(seconds: number): ChaosReport {
    const { history } = this.#world
    const verdict = judge(history)
    const special: { kind: string; code: string }[] = []
    for (const { kind, job, isAccepted } of history.submissions.values()) {
      if (kind === 'work' || job === null) continue
      const code = JSON.parse(history.outcomes.get(`${job}/0`)?.[0]?.value ?? '"none"') as string
      special.push({ kind, code })
      if (isAccepted && !expectedCodes[kind]?.includes(code))
        this.#troubles.push(`a ${kind} task ended with ${code}`)
    }
    const recoveryMs = verdict.recoveries.map(({ ms }) => ms)
    return {
      seed: this.#options.seed,
      seconds,
      faults: Object.values(this.#counts).reduce((sum, count) => sum + count, 0),
      byFault: this.#counts,
      verdict,
      recoveryP50Ms: percentile(recoveryMs, 0.5),
      recoveryP99Ms: percentile(recoveryMs, 0.99),
      special,
      troubles: this.#troubles,
    }
  }
}
