import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type JobId, type PeerId, taskIdOf } from '../model/ids.ts'
import type { MessageOf } from '../model/message.ts'
import { intersection, peersOfScope } from '../model/scope.ts'
import type { TaskOptionsRecord, TaskSpec } from '../model/task.ts'
import { cancelChildren, cancelTask } from './attempts.ts'
import type { StepContext } from './context.ts'
import { endJobIfComplete } from './ended.ts'
import type { EventOf } from './events.ts'
import { addRange, addTask, childKey, openJob, resolveNeeds } from './jobs.ts'
import { takeOut } from './slice-ends.ts'
import { attemptedTask, isFinal, type JobState, refOf, type TaskState, taskAt, tasksOf } from './state.ts'
import { addOpenChildren, makeEnded } from './transitions.ts'

/** Cancels are repeated this often towards an owner elsewhere. */
const cancelTriesMax = 5

export function onTasksSubmitted(ctx: StepContext, event: EventOf<'tasks-submitted'>): void {
  addOwnTasks(ctx, jobOf(ctx, event.job, event.name), event.specs, true)
}

/** A job of this peer's user, opened with its first tasks. */
function jobOf(ctx: StepContext, id: JobId, name: string): JobState {
  const { state } = ctx
  const known = state.jobs.get(id)
  if (known !== undefined) return known
  const job = openJob(ctx, id, name, state.self)
  ctx.write({ type: 'job', by: state.self, job: job.id, name: job.name })
  return job
}

/** Adds a whole range: one record, which placement cuts. */
export function onRangeSubmitted(ctx: StepContext, event: EventOf<'range-submitted'>): void {
  const job = jobOf(ctx, event.job, event.name)
  const added = addRange(ctx, job, event.range)
  for (const task of added) task.isWatched = true
  ctx.write({ type: 'range', job: job.id, range: event.range })
  if (!job.isMine || job.isAdopting) return
  for (const task of added) resolveNeeds(ctx, task)
}

/** Adds tasks to a job owned here: written down, then placed as soon as their inputs are there. */
function addOwnTasks(ctx: StepContext, job: JobState, specs: readonly TaskSpec[], isWatched: boolean): void {
  const added: TaskState[] = []
  for (const spec of specs) {
    const task = addTask(ctx, job, spec)
    if (task === null) continue
    if (isWatched) task.isWatched = true
    added.push(task)
  }
  ctx.write({ type: 'specs', job: job.id, specs })
  if (!job.isMine || job.isAdopting) return
  for (const task of added) if (task.status === 'waiting') resolveNeeds(ctx, task)
}

export function onJobSealed(ctx: StepContext, event: EventOf<'job-sealed'>): void {
  const job = ctx.state.jobs.get(event.job)
  if (job === undefined) return
  job.isSealed = true
  endJobIfComplete(ctx, job)
}

export function onTasksCancelled(ctx: StepContext, event: EventOf<'tasks-cancelled'>): void {
  const { job: id, nos, reason } = event
  const job = ctx.state.jobs.get(id)
  if (job?.isMine === true) {
    cancelTasks(ctx, job, nos, reason)
    return
  }
  ctx.state.cancels.push({ job: id, nos, reason, tries: cancelTriesMax })
  askForCancels(ctx)
}

/** Sends the cancels that wait for an owner elsewhere; gives whether some are still worth repeating. */
export function askForCancels(ctx: StepContext): boolean {
  const { cancels, jobs, executor } = ctx.state
  const kept = cancels.splice(0).filter((cancel) => {
    const job = jobs.get(cancel.job)
    if (job?.isMine === true) {
      cancelTasks(ctx, job, cancel.nos, cancel.reason)
      return false
    }
    const owner = job?.claim.peer ?? executor.jobs.get(cancel.job)?.owner
    if (owner !== undefined) {
      ctx.send(owner, { type: 'cancel', job: cancel.job, nos: cancel.nos, reason: cancel.reason })
    }
    cancel.tries--
    return cancel.tries > 0 && job?.isEnded !== true
  })
  cancels.push(...kept)
  return kept.length > 0
}

export function onCancel(ctx: StepContext, message: MessageOf<'cancel'>): void {
  const job = ctx.state.jobs.get(message.job)
  if (job?.isMine === true) cancelTasks(ctx, job, message.nos, message.reason)
}

function cancelTasks(ctx: StepContext, job: JobState, nos: readonly number[] | null, reason: string): void {
  if (nos === null) for (const task of [...tasksOf(job)]) cancelTask(ctx, task, reason)
  else for (const no of nos) cancelOne(ctx, job, no, reason)
}

function cancelOne(ctx: StepContext, job: JobState, no: number, reason: string): void {
  const task = taskAt(job, no)
  if (task === undefined || isFinal(task.status)) return
  cancelTask(ctx, task.count === 1 ? task : takeOut(ctx, task, no, 1), reason)
}

/** A body that runs here spawned children: its owner numbers them. */
export function onChildrenSpawned(ctx: StepContext, event: EventOf<'children-spawned'>): void {
  const { job, parent, requests } = event
  const { executor } = ctx.state
  const attempts =
    executor.submitting.get(job) ?? new Map<number, { no: number; requests: (typeof requests)[number][] }>()
  executor.submitting.set(job, attempts)
  const waiting = attempts.get(parent.attempt)
  if (waiting === undefined) attempts.set(parent.attempt, { no: parent.no, requests: [...requests] })
  else waiting.requests.push(...requests)
  const owner = executor.jobs.get(job)?.owner
  if (owner !== undefined) ctx.send(owner, { type: 'submit', job, parent, requests })
}

/** A body elsewhere asks for children: each request makes one task, however often it is repeated. */
export function onSubmit(ctx: StepContext, from: PeerId, message: MessageOf<'submit'>): void {
  const job = ctx.state.jobs.get(message.job)
  if (job?.isMine !== true || job.isAdopting) return
  const { attempt } = message.parent
  const parent = attemptedTask(job, message.parent.no, attempt)
  if (parent?.status !== 'assigned' || parent.attempt !== attempt || parent.count > 1) {
    ctx.attempt('abort', from, job.id, job.claim.epoch, message.parent)
    return
  }
  const fault = faultOf(ctx, parent, message)
  if (fault !== null) {
    failSpawner(ctx, parent, from, fault)
    return
  }
  const specs: TaskSpec[] = []
  const accepted: { seq: number; no: number }[] = []
  for (const { seq, operation, args, needs, chunks, options } of message.requests) {
    const key = childKey(attempt, seq)
    let no = job.children.get(key)
    if (no === undefined) {
      no = job.nextNested++
      const parentRef = { no: message.parent.no, attempt, seq }
      const spec = { no, operation, args, needs, options: inherit(parent.spec, options), parent: parentRef }
      specs.push(chunks === undefined ? spec : { ...spec, chunks })
    }
    accepted.push({ seq, no })
  }
  parent.spawned += specs.length
  addOpenChildren(ctx, parent, specs.length)
  if (specs.length > 0) addOwnTasks(ctx, job, specs, false)
  ctx.send(from, { type: 'submitted', job: job.id, parent: message.parent, accepted })
}

/** Why a body's requests cannot be met; `null` when they can. */
function faultOf(ctx: StepContext, parent: TaskState, message: MessageOf<'submit'>): ErrorRecord | null {
  const { job, attempt } = parent
  const { depthMax, childrenMax } = ctx.state.config
  const id = taskIdOf(refOf(parent))
  if (parent.spawnedBy !== attempt) {
    parent.spawnedBy = attempt
    parent.spawned = 0
  }
  let fresh = 0
  for (const request of message.requests) {
    const no = job.children.get(childKey(attempt, request.seq))
    const known = no === undefined ? undefined : taskAt(job, no)
    if (known === undefined) fresh++
    else if (!isSameRequest(known.spec, request)) {
      const text = `Cannot take two different tasks under one number: task "${id}" used ${request.seq} twice`
      return errorRecord('E_ID_REUSED', text)
    }
  }
  if (parent.spawned + fresh > childrenMax) {
    const text = `Cannot spawn more tasks as one body may spawn ${childrenMax}: current value is ${parent.spawned + fresh}, in task "${id}"`
    return errorRecord('E_LIMIT', text)
  }
  const depth = depthOf(parent) + 1
  if (fresh === 0 || depth <= depthMax) return null
  const text = `Cannot spawn a task as bodies may spawn ${depthMax} deep: current value is ${depth}, in task "${id}"`
  return errorRecord('E_LIMIT', text)
}

function isSameRequest(spec: TaskSpec, request: MessageOf<'submit'>['requests'][number]): boolean {
  if (spec.operation !== request.operation || spec.needs.length !== request.needs.length) return false
  const [left, right] = [spec.args.pack(), request.args.pack()]
  return left.length === right.length && left.every((byte, i) => byte === right[i])
}

function depthOf(task: TaskState): number {
  let depth = 0
  for (let at: TaskState | undefined = task; at?.spec.parent; at = taskAt(at.job, at.spec.parent.no)) depth++
  return depth
}

/** The body that asked for what cannot be ends as failed, wherever it runs. */
function failSpawner(ctx: StepContext, task: TaskState, from: PeerId, error: ErrorRecord): void {
  const { job, attempt } = task
  ctx.attempt('abort', from, job.id, job.claim.epoch, { no: task.spec.no, attempt })
  cancelChildren(ctx, task)
  makeEnded(ctx, task, {
    status: 'failed',
    error,
    origin: refOf(task),
    attempts: task.executions + 1,
    peer: from,
  })
}

/**
 * Options reach every level: what a spawned task does not ask for is as its parent has it, but for the name. Where it
 * may run it says itself, if it does, within the peers that its parent may run on.
 */
function inherit({ options: parent }: TaskSpec, asked: TaskOptionsRecord): TaskOptionsRecord {
  const { name, scope, priority, retryMax, retryBackoffMs, timeoutMs } = asked
  const hasNumbers = priority !== 0 || retryMax !== 0 || retryBackoffMs !== 0 || timeoutMs !== 0
  if (!hasNumbers && scope.type === 'default') return parent.name === name ? parent : { ...parent, name }
  return {
    name,
    scope: scope.type === 'default' ? parent.scope : intersection([peersOfScope(parent.scope), scope]),
    priority: priority || parent.priority,
    retryMax: retryMax || parent.retryMax,
    retryBackoffMs: retryBackoffMs || parent.retryBackoffMs,
    timeoutMs: timeoutMs || parent.timeoutMs,
  }
}

export function onSubmitted(ctx: StepContext, message: MessageOf<'submitted'>): void {
  const { job, parent, accepted } = message
  const attempts = ctx.state.executor.submitting.get(job)
  const waiting = attempts?.get(parent.attempt)
  if (waiting === undefined) return
  const fresh = accepted.filter(({ seq }) => waiting.requests.some((request) => request.seq === seq))
  waiting.requests = waiting.requests.filter((request) => !accepted.some(({ seq }) => seq === request.seq))
  if (waiting.requests.length === 0) attempts?.delete(parent.attempt)
  if (fresh.length > 0) ctx.emit({ type: 'children-accepted', job, parent, accepted: fresh })
}
