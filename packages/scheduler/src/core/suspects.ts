import { errorRecord } from '../model/errors.ts'
import { type ProcessorId, peerOfProcessor, taskIdOf } from '../model/ids.ts'
import type { AttemptRef } from '../model/message.ts'
import type { StepContext } from './context.ts'
import {
  type JobState,
  type Loss,
  type ProcessorState,
  refOf,
  type SchedulerState,
  type TaskState,
} from './state.ts'
import { makeEnded } from './transitions.ts'

/*
 * Which task kills what runs it. A processor that dies says little: the task may have been there by chance. So a task
 * that was lost once runs alone, and elsewhere; what kills does so again, and what was only unlucky ends.
 */

const deathsWindowMs = 60_000
/** A rate is taken over this time at least, so that a few deaths soon after the start are no storm. */
const deathsOverMs = 10_000
/** Deaths by chance that leave the task in doubt. */
const chanceMax = 0.25

/** A processor or a peer died. */
export function noteDeath(state: SchedulerState): void {
  const { now } = state
  state.deathsAt = [...state.deathsAt.filter((at) => at > now - deathsWindowMs).slice(-deathsKept), now]
}

/** More say nothing more. */
const deathsKept = 63

/**
 * The first death makes it suspect, later ones count when it was alone. Where peers die without it as well, chance may
 * do the same to a victim: when the deaths of others can explain these, it takes twice as many to tell. So it does
 * where the task was never alone, as bodies that wait are not.
 */
export function isPoison(state: SchedulerState, losses: readonly Loss[]): boolean {
  const counted = 1 + losses.slice(1).filter(({ wasAlone }) => wasAlone).length
  const { poisonLimit } = state.config
  return (
    (counted >= poisonLimit && chanceDeaths(state, losses) < chanceMax) || losses.length >= 2 * poisonLimit
  )
}

/** Deaths that whoever ran the task since it was suspect had died anyway, by the rate at which others die. */
function chanceDeaths({ deathsAt, peers }: SchedulerState, losses: readonly Loss[]): number {
  const others = deathsAt.length - losses.length
  const [first, last] = [losses[0]?.at ?? 0, losses.at(-1)?.at ?? 0]
  const overMs = Math.max(last - (deathsAt[0] ?? last), deathsOverMs)
  return (others / overMs / (peers.size + 1)) * (last - first)
}

export function failPoison(ctx: StepContext, task: TaskState, losses: readonly Loss[]): void {
  const lostOn = losses.map(({ processor }) => processor)
  const text = `Cannot run task "${taskIdOf(refOf(task))}" again as ${lostOn.length} processors died while it ran: ${lostOn.join(', ')}`
  const error = errorRecord('E_TASK_POISON', text)
  const peer = peerOfProcessor(lostOn.at(-1) as ProcessorId)
  makeEnded(ctx, task, { status: 'failed', error, origin: refOf(task), attempts: lostOn.length, peer })
}

/** An attempt that was lost shows up again: its processor had not died, it was only out of reach. */
export function forgive(task: TaskState, { attempt }: AttemptRef): void {
  if (task.losses === null) return
  const losses = task.losses.filter((loss) => loss.attempt !== attempt)
  task.losses = losses.length === 0 ? null : losses
}

/** Somebody runs there alone, or is about to. */
export function hasGuest(processor: ProcessorState): boolean {
  const { guest } = processor
  if (guest === null) return false
  // One that waits for tasks of its own leaves its place to them.
  if (guest.processor === processor && guest.openChildren === 0) return true
  if (guest.status === 'ready') return true
  processor.guest = null
  return false
}

/**
 * An empty processor for a task that may kill it, another one than those that died; if there is none, the one that
 * will be empty first is kept free. What is bad luck on a machine that comes and goes so ends elsewhere.
 */
export function placeAlone(
  state: SchedulerState,
  candidates: readonly ProcessorState[],
  task: TaskState,
  isWary: boolean,
): ProcessorState | null {
  const allowed = isWary ? candidates.filter(({ peer }) => peer.id !== state.self) : candidates
  const losses = task.losses ?? []
  const mayWait = state.now < (losses.at(-1)?.at ?? 0) + state.config.elsewhereMs
  const fresh = allowed.filter(({ record }) => !losses.some(({ processor }) => processor === record.id))
  const open = (mayWait && fresh.length > 0 ? fresh : allowed).filter(
    (processor) => processor.guest === task || !hasGuest(processor),
  )
  const [soonest] = open.sort((left, right) => loadMs(left) - loadMs(right))
  if (soonest === undefined) return null
  for (const processor of allowed) if (processor.guest === task) processor.guest = null
  soonest.guest = task
  return soonest.assigned.size > soonest.waiting ? null : soonest
}

function loadMs(processor: ProcessorState): number {
  // What runs takes no time by its estimate, should that be exceeded: an empty processor comes first.
  return processor.assigned.size > processor.waiting ? 1 + Math.max(0, processor.queuedMs) : 0
}

/**
 * Owners of this job died one after the other, perhaps of what they ran: who is owner now leaves its tasks to others,
 * and so lives to see which of them it is.
 */
export function staysAway(
  { self }: SchedulerState,
  candidates: readonly ProcessorState[],
  { job }: TaskState,
): boolean {
  return isWaryJob(job) && candidates.some((processor) => processor.peer.id !== self)
}

/** From the third owner on. */
const waryEpoch = 3

/** Whether this owner should not run tasks of the job itself, if others can. */
export function isWaryJob({ claim }: JobState): boolean {
  return claim.epoch >= waryEpoch
}
