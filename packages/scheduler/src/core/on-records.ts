import type { PeerId } from '../model/ids.ts'
import type { OutcomeRecord, ReplicatedRecord } from '../model/records.ts'
import type { Outcome } from '../model/task.ts'
import { noteResultChunk } from './chunks.ts'
import type { StepContext } from './context.ts'
import { armDrop, feed, settleEnded, tellEnd } from './ended.ts'
import { addRange, addTask, openJob, resolveNeeds } from './jobs.ts'
import { setProfile } from './on-peer.ts'
import { onServiceRecord } from './services/index.ts'
import { takeOut } from './slice-ends.ts'
import { isolate, partOf, standingAt } from './slices.ts'
import { isFinal, type JobState, type TaskState, taskAt } from './state.ts'
import { applyClaim, planTakeover, unseenMs } from './takeover.ts'
import { makeEnded } from './transitions.ts'

/** What other members wrote. Any order, any number of times: each record is an upper or lower bound. */
export function onRecords(ctx: StepContext, records: readonly ReplicatedRecord[]): void {
  const fresh: TaskState[] = []
  for (const record of records) onRecord(ctx, record, fresh)
  // Only now: how such a task ended may stand behind its specification.
  for (const { job, spec, count } of fresh) {
    if (!job.isMine || job.isAdopting) continue
    for (const task of standingAt(job, spec.no, count)) if (task.status === 'waiting') resolveNeeds(ctx, task)
  }
}

function onRecord(ctx: StepContext, record: ReplicatedRecord, fresh: TaskState[]): void {
  switch (record.type) {
    case 'profile':
      // What an earlier start of this peer lent says nothing of this one.
      if (record.by === ctx.state.self) return
      setProfile(ctx, record.by, record.profile)
      return
    case 'operations':
      return
    case 'service':
    case 'service-claim':
    case 'service-ended':
      onServiceRecord(ctx, record)
      return
    case 'job': {
      const job = jobOf(ctx, record.job, record.by, record.name)
      if (job === null) return
      job.name = record.name
      learnCreator(ctx, job, record.by)
      return
    }
    case 'claim': {
      const job = jobOf(ctx, record.job, record.by, '')
      if (job !== null) applyClaim(ctx, job, record.by, record.epoch)
      return
    }
    case 'ended': {
      const job = jobOf(ctx, record.job, record.by, '')
      if (job !== null) onEndedElsewhere(ctx, job)
      return
    }
    case 'specs': {
      const job = jobOf(ctx, record.job, null, '')
      if (job === null) return
      for (const spec of record.specs) {
        const task = addTask(ctx, job, spec)
        if (task !== null) fresh.push(task)
      }
      applyEarlyOutcomes(ctx, job)
      return
    }
    case 'range': {
      const job = jobOf(ctx, record.job, null, '')
      if (job === null) return
      fresh.push(...addRange(ctx, job, record.range))
      applyEarlyOutcomes(ctx, job)
      return
    }
    case 'outcomes': {
      const job = jobOf(ctx, record.job, null, '')
      if (job === null) return
      for (const outcome of record.outcomes) applyOutcome(ctx, job, record.by, record.epoch, outcome)
    }
  }
}

/** The job, opened when this is the first word of it; `null` when it was dropped here. */
function jobOf(ctx: StepContext, id: JobState['id'], by: PeerId | null, name: string): JobState | null {
  const known = ctx.state.jobs.get(id)
  if (known !== undefined) return known
  if (ctx.state.tombstones.has(id)) return null
  const job = openJob(ctx, id, name, by ?? unknownPeer)
  // Documents come in any order: until the lane names the creator, the job is nobody's.
  if (by === null) job.claim = { peer: unknownPeer, epoch: 0 }
  job.isMine = false
  planTakeover(ctx, job, unseenMs(ctx.state, job))
  return job
}

const unknownPeer = '' as PeerId

function learnCreator(ctx: StepContext, job: JobState, creator: PeerId): void {
  job.creator = creator
  applyClaim(ctx, job, creator, 1)
}

function onEndedElsewhere(ctx: StepContext, job: JobState): void {
  if (job.isEnded) return
  job.isEnded = true
  ctx.emit({ type: 'notify', notice: { type: 'job-ended', job: job.id, name: job.name } })
  armDrop(ctx, job)
}

/** The lowest epoch's outcome wins, so that what the submitter saw never changes. */
function applyOutcome(
  ctx: StepContext,
  job: JobState,
  by: PeerId,
  epoch: number,
  record: OutcomeRecord,
): void {
  const { no: first, count: total = 1, outcome } = record
  // Its writer may have cut the tasks otherwise: each piece here gets its part.
  for (let no = first; no < first + total; ) {
    const task = taskAt(job, no)
    const count = (task === undefined ? endOfGap(job, no, first + total) : endOf(task, first + total)) - no
    const part = { no, count, outcome: partOf(outcome, total, no - first, count) }
    if (task === undefined) waitForSpec(ctx, job, by, epoch, part)
    else endElsewhere(ctx, pieceOf(ctx, task, no, count), by, epoch, part.outcome)
    no += count
  }
}

function endOf({ spec, count }: TaskState, end: number): number {
  return Math.min(end, spec.no + count)
}

/** Up to where nothing is known of any task. */
function endOfGap(job: JobState, from: number, end: number): number {
  let no = from + 1
  while (no < end && taskAt(job, no) === undefined) no++
  return no
}

/** `count` tasks of a slice, by themselves. */
function pieceOf(ctx: StepContext, task: TaskState, no: number, count: number): TaskState {
  if (task.count === count) return task
  // What waited for the whole of it must have heard before it is cut.
  if (task.outcome !== null && ctx.ended.length > 0) settleEnded(ctx)
  return task.outcome === null ? takeOut(ctx, task, no, count) : isolate(task, no, count).part
}

function endElsewhere(ctx: StepContext, task: TaskState, by: PeerId, epoch: number, outcome: Outcome): void {
  const { job } = task
  if (task.outcome === null) {
    const { processor, attempt } = task
    if (processor !== null) {
      ctx.attempt('abort', processor.peer.id, job.id, job.claim.epoch, { no: task.spec.no, attempt })
    }
    task.outcomeEpoch = epoch
    task.outcomeBy = by
    makeEnded(ctx, task, outcome)
    return
  }
  const isLower = epoch < task.outcomeEpoch || (epoch === task.outcomeEpoch && by > (task.outcomeBy ?? ''))
  if (isLower) correct(ctx, task, by, epoch, outcome)
}

/** Two owners ended the same task on both sides of a partition: everybody takes the older epoch's word. */
function correct(ctx: StepContext, task: TaskState, by: PeerId, epoch: number, outcome: Outcome): void {
  const { job, count } = task
  if (task.outcome !== null && isFinal(task.status)) job[task.outcome.status] -= count
  task.outcome = outcome
  task.status = outcome.status
  job[outcome.status] += count
  task.outcomeEpoch = epoch
  task.outcomeBy = by
  ctx.state.story.add(ctx.state.now, task, 'outcome corrected by epoch', epoch)
  noteResultChunk(ctx, job, outcome)
  tellEnd(ctx, task, outcome)
  for (const dependent of task.dependents ?? []) feed(ctx, dependent, task)
}

/** An outcome whose specification has not arrived yet: a task that only knows how it ended. */
function waitForSpec(
  ctx: StepContext,
  job: JobState,
  by: PeerId,
  epoch: number,
  record: OutcomeRecord,
): void {
  const early = ctx.state.earlyOutcomes.get(job.id) ?? []
  early.push({ by, epoch, record })
  ctx.state.earlyOutcomes.set(job.id, early)
}

/** Applies outcomes that came before their specifications. */
function applyEarlyOutcomes(ctx: StepContext, job: JobState): void {
  const early = ctx.state.earlyOutcomes.get(job.id)
  if (early === undefined) return
  ctx.state.earlyOutcomes.delete(job.id)
  for (const { by, epoch, record } of early) applyOutcome(ctx, job, by, epoch, record)
}
