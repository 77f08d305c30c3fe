import { type Outcome, ShoalError, type TaskRef, taskIdOf } from '@shoal/scheduler'

export { ShoalError }

interface ErrorExtras {
  readonly cause?: unknown
  readonly story?: readonly string[]
  readonly data?: Readonly<Record<string, unknown>>
}

/** What a failed task tells besides its cause. */
export interface TaskFailure {
  /** The task that was fetched. */
  readonly taskId: string
  /** The task whose body failed: another one when an input failed. */
  readonly originTaskId: string
  /** Where the origin ran last; `null` when its body never ran. */
  readonly peerId: string | null
  /** Executions of the origin. */
  readonly attempts: number
}

/**
 * A task failed. `cause` is the error of the body that failed first, rebuilt with its name, message,
 * code and fields. `code` is the cause's when Shoal raised it (`E_TASK_TIMEOUT`, `E_CODE`, ...), else
 * `E_TASK_FAILED`.
 */
export class TaskFailedError extends ShoalError implements TaskFailure {
  override readonly name: string = 'TaskFailedError'
  readonly taskId: string
  readonly originTaskId: string
  readonly peerId: string | null
  readonly attempts: number

  constructor(code: string, message: string, failure: TaskFailure, extras: ErrorExtras = {}) {
    super(code, message, extras)
    this.taskId = failure.taskId
    this.originTaskId = failure.originTaskId
    this.peerId = failure.peerId
    this.attempts = failure.attempts
  }
}

/** The task, its group or the mesh was cancelled or closed before it ended. Code `E_CANCELLED` or `E_CLOSED`. */
export class CancelledError extends ShoalError {
  override readonly name: string = 'CancelledError'
  /** `null` when no task is meant (a closed mesh). */
  readonly taskId: string | null
  readonly reason: string

  constructor(
    taskId: string | null,
    reason: string,
    options: ErrorExtras & { readonly code?: 'E_CANCELLED' | 'E_CLOSED' } = {},
  ) {
    const subject = taskId === null ? 'the work' : `task "${taskId}"`
    super(
      options.code ?? 'E_CANCELLED',
      `Cannot finish ${subject} as it was cancelled: reason is ${reason}`,
      options,
    )
    this.taskId = taskId
    this.reason = reason
  }
}

/**
 * The service started again without its state, and the call was under way: it may have run. Only services
 * with `durability: 'none'` do that. Code `E_SERVICE_RESTARTED`.
 */
export class ServiceRestartedError extends ShoalError {
  override readonly name: string = 'ServiceRestartedError'

  constructor(message: string, extras: ErrorExtras = {}) {
    super('E_SERVICE_RESTARTED', message, extras)
  }
}

/** No processor can ever run the task as asked: code `E_NO_PROCESSOR`, `E_SCOPE` or `E_TASK_POISON`. */
export class SchedulingError extends ShoalError {
  override readonly name: string = 'SchedulingError'
  readonly taskId: string

  constructor(code: string, message: string, taskId: string, extras: ErrorExtras = {}) {
    super(code, message, extras)
    this.taskId = taskId
  }
}

/**
 * The error that fetching a failed task rejects with.
 * @param cause the body's error, rebuilt from the outcome's record
 */
export function taskFailed(
  ref: TaskRef,
  outcome: Extract<Outcome, { readonly status: 'failed' }>,
  cause: Error,
  story: readonly string[] = [],
): TaskFailedError {
  const taskId = taskIdOf(ref)
  const originTaskId = taskIdOf(outcome.origin)
  const code = outcome.error.name === 'ShoalError' ? (outcome.error.code ?? 'E_TASK_FAILED') : 'E_TASK_FAILED'
  const where = outcome.peer === null ? 'before its body ran' : `on peer ${outcome.peer}`
  const origin = originTaskId === taskId ? '' : ` as its input "${originTaskId}" failed`
  const tries = outcome.attempts > 1 ? ` after ${outcome.attempts} attempts` : ''
  const message = `Task "${taskId}" failed${origin} ${where}${tries}: ${outcome.error.name}: ${outcome.error.message}`
  const failure = { taskId, originTaskId, peerId: outcome.peer, attempts: outcome.attempts }
  return new TaskFailedError(code, message, failure, { cause, story })
}
