import type { Actor } from './actors.ts'
import type { PeerEvent, Reading } from './orders.ts'

/** A body began, seen from outside of the mesh. */
export interface Start {
  readonly at: number
  /** `job/number`. */
  readonly task: string
  readonly peer: string
}

/** A fault that ended a peer. */
export interface Kill {
  readonly at: number
  readonly peer: string
  /** Name of the start that ended. */
  readonly name: string
  readonly kind: string
}

export interface Told {
  readonly at: number
  readonly by: string
  readonly value: string
  readonly reading: Reading
}

/** A job that the run asked for. */
export interface Submission {
  readonly label: string
  readonly kind: string
  readonly count: number
  readonly by: string
  job: string | null
  isAccepted: boolean
  /** Readers that saw its end. */
  readonly endedFor: Set<string>
}

/** Everything that happened, in the order in which the run heard of it. */
export interface History {
  readonly starts: Start[]
  readonly kills: Kill[]
  readonly submissions: Map<string, Submission>
  /** By task, all that any reader told. */
  readonly outcomes: Map<string, Told[]>
  readonly errors: { readonly by: string; readonly message: string }[]
  /** Peers that were given up: `dead` by the detector, or `left` by themselves. */
  readonly departures: {
    readonly at: number
    readonly by: string
    readonly peer: string
    readonly cause: string
  }[]
  readonly suspicions: { readonly at: number; readonly by: string; readonly peer: string }[]
  /** Who owns which job by now, as each peer heard it. */
  readonly claims: {
    readonly at: number
    readonly by: string
    readonly job: string
    readonly owner: string
  }[]
  submit(label: string, kind: string, count: number, by: string): Submission
  take(actor: Actor, event: PeerEvent): void
}

export function createHistory(): History {
  const submissions = new Map<string, Submission>()
  const byJob = new Map<string, Submission>()
  const outcomes = new Map<string, Told[]>()
  const history: History = {
    starts: [],
    kills: [],
    submissions,
    outcomes,
    errors: [],
    departures: [],
    suspicions: [],
    claims: [],
    submit(label, kind, count, by) {
      const submission = { label, kind, count, by, job: null, isAccepted: false, endedFor: new Set<string>() }
      submissions.set(label, submission)
      return submission
    },
    take(actor, event) {
      if (event.type === 'submitted' || event.type === 'accepted') {
        const submission = submissions.get(event.label)
        if (submission === undefined) return
        submission.job = event.job
        submission.isAccepted ||= event.type === 'accepted'
        byJob.set(event.job, submission)
      } else if (event.type === 'outcome') {
        const task = `${event.job}/${event.index}`
        const list = outcomes.get(task) ?? []
        outcomes.set(task, list)
        const { at, reading } = event
        list.push({ at, by: actor.name, value: JSON.stringify(event.value), reading })
      } else if (event.type === 'ended') byJob.get(event.job)?.endedFor.add(actor.name)
      else if (event.type === 'error') history.errors.push({ by: actor.name, message: event.message })
      else if (event.type === 'suspected')
        history.suspicions.push({ at: event.at, by: actor.name, peer: event.peer })
      else if (event.type === 'owner')
        history.claims.push({ at: event.at, by: actor.name, job: event.job, owner: event.owner })
      else if (event.type === 'gone') {
        history.departures.push({ at: event.at, by: actor.name, peer: event.peer, cause: event.cause })
      }
    },
  }
  return history
}

export interface Recovery {
  readonly ms: number
  /** What ended the peer. */
  readonly kind: string
  readonly task: string
  /** The peer that died had submitted the task, too: somebody had to take the job over first. */
  readonly wasOwner: boolean
  /** What others noticed between the two, in milliseconds from the kill, for people. */
  readonly course: string
}

/** What the history says about the promises. */
export interface Verdict {
  readonly tasks: number
  readonly tasksNotAccepted: number
  /** Accepted tasks that ended for nobody. */
  readonly lost: readonly string[]
  /** Tasks with a value that is not theirs, or that failed. */
  readonly wrong: readonly string[]
  /**
   * Tasks whose outcome changed for their submitter, or for which two readers differ in the end that had been in touch
   * with everybody for 5 s (CL4).
   */
  readonly changed: readonly string[]
  /**
   * Tasks that a successor ended while their owner was cut off or stood still, and whose other readers were
   * corrected to what the owner had seen: the lowest epoch's outcome counts.
   */
  readonly corrected: readonly string[]
  readonly executions: number
  readonly executionsPerTask: number
  /** From a kill to the next start of each task that was running there, shortest first. */
  readonly recoveries: readonly Recovery[]
}

/** Checks a finished history. */
export function judge(history: History): Verdict {
  const lost: string[] = []
  const wrong: string[] = []
  const changed: string[] = []
  const corrected: string[] = []
  let tasks = 0
  let tasksNotAccepted = 0
  const jobs = new Set<string>()
  for (const submission of history.submissions.values()) {
    const { job, kind, count, by, isAccepted } = submission
    if (kind !== 'work') continue
    if (job === null || !isAccepted) tasksNotAccepted += count
    else tasks += count
    if (job === null) continue
    if (isAccepted) jobs.add(job)
    for (let index = 0; index < count; index += 1) {
      const task = `${job}/${index}`
      const told = history.outcomes.get(task) ?? []
      if (told.length === 0 && isAccepted) lost.push(task)
      const bad = told.find(({ value }) => !value.startsWith(`[${index},`))
      if (bad !== undefined) wrong.push(`${task}: ${bad.value}`)
      const text = `${task} of ${by}: ${told.map((one) => `${one.by}=${one.value}`).join(' ')}`
      if (hasChanged(told, by)) changed.push(text)
      else if (new Set(told.map(({ value }) => value)).size > 1) corrected.push(text)
    }
  }
  const executions = history.starts.filter(({ task }) => jobs.has(jobOf(task))).length
  const executionsPerTask = tasks === 0 ? 0 : executions / tasks
  const recoveries = recoveriesOf(history)
  return {
    tasks,
    tasksNotAccepted,
    lost,
    wrong,
    changed,
    corrected,
    executions,
    executionsPerTask,
    recoveries,
  }
}

function jobOf(task: string): string {
  return task.slice(0, task.lastIndexOf('/'))
}

/** The submitter was told two values, or those who asked last were told different ones. */
function hasChanged(told: readonly Told[], submitter: string): boolean {
  const valuesOf = (list: readonly Told[]): number => new Set(list.map(({ value }) => value)).size
  const final = told.filter(({ reading }) => reading === 'last')
  return valuesOf(told.filter(({ by }) => by === submitter)) > 1 || valuesOf(final) > 1
}

function recoveriesOf(history: History): readonly Recovery[] {
  const found: Recovery[] = []
  const byTask = new Map<string, Start[]>()
  for (const start of history.starts) byTask.set(start.task, [...(byTask.get(start.task) ?? []), start])
  const ownerOf = new Map([...history.submissions.values()].map(({ job, by }) => [job ?? '', by]))
  for (const kill of history.kills) {
    for (const [task, starts] of byTask) {
      const last = starts.filter(({ at }) => at <= kill.at).at(-1)
      if (last === undefined || last.peer !== kill.peer) continue
      if ((history.outcomes.get(task) ?? []).some(({ at }) => at <= kill.at)) continue
      const next = starts.find(({ at }) => at > kill.at)
      if (next === undefined) continue
      const wasOwner = ownerOf.get(jobOf(task)) === kill.name
      const course = courseOf(history, kill, jobOf(task), next)
      found.push({ ms: next.at - kill.at, kind: kill.kind, task, wasOwner, course })
    }
  }
  return found.sort((left, right) => left.ms - right.ms)
}

/** Who gave the peer up, who took the job over, and where the task ran again. */
function courseOf(history: History, kill: Kill, job: string, next: Start): string {
  const isBetween = ({ at }: { readonly at: number }): boolean => at >= kill.at && at <= next.at
  const gone = history.departures.filter((one) => isBetween(one) && one.peer === kill.peer)
  const claims = history.claims.filter((one) => isBetween(one) && one.job === job)
  return [
    ...gone.map(({ at, by, cause }) => ({ at, text: `${cause} for ${by}` })),
    ...claims.map(({ at, by, owner }) => ({ at, text: `of ${owner.slice(0, 4)} for ${by}` })),
    { at: next.at, text: `runs on ${next.peer.slice(0, 4)}` },
  ]
    .sort((left, right) => left.at - right.at)
    .map(({ at, text }) => `${at - kill.at} ${text}`)
    .join(', ')
}

/** The value below which a share of the sorted numbers lies; NaN without any. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
