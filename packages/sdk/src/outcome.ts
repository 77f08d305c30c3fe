import { ChunkPayload, type Outcome, peerOfProcessor, taskIdOf } from '@shoal/scheduler'
import { CancelledError, SchedulingError, TaskFailedError } from './errors.ts'
import type { JobBook } from './job-book.ts'
import type { TaskHandle } from './task.ts'
import type { Completed } from './types.ts'
import { errorFromRecord } from './values/index.ts'

type Failure = Extract<Outcome, { readonly status: 'failed' }>

/** Reason text of tasks that ended because their mesh was closed here. */
export const closedReason = 'the mesh was closed on this peer'

/** Codes that say that no place could run the task. */
const schedulingCodes = new Set(['E_NO_PROCESSOR', 'E_SCOPE', 'E_TASK_POISON'])

/** The error that fetching a task rejects with. */
export function outcomeError(
  book: JobBook,
  no: number,
  name: string,
  outcome: Exclude<Outcome, { readonly status: 'done' }>,
): Error {
  const taskId = taskIdOf({ job: book.id, no })
  const story = book.story(no)
  if (outcome.status === 'cancelled') {
    const code = outcome.reason === closedReason ? 'E_CLOSED' : 'E_CANCELLED'
    return new CancelledError(taskId, outcome.reason, { code, story })
  }
  const cause = errorFromRecord(outcome.error)
  const code = outcome.error.name === 'ShoalError' ? (outcome.error.code ?? 'E_TASK_FAILED') : 'E_TASK_FAILED'
  const message = failureMessage(book, taskId, name, outcome)
  if (schedulingCodes.has(code)) return new SchedulingError(code, message, taskId, { cause, story })
  const originTaskId = taskIdOf(outcome.origin)
  const failure = { taskId, originTaskId, peerId: outcome.peer, attempts: outcome.attempts }
  return new TaskFailedError(code, message, failure, { cause, story })
}

function failureMessage(book: JobBook, taskId: string, name: string, outcome: Failure): string {
  const { origin, error, peer, attempts } = outcome
  const originId = taskIdOf(origin)
  const originName = book.keeper.taskName(origin.job, origin.no)
  const subject =
    originId === taskId
      ? 'it'
      : `its input ${originName === null ? `"${originId}"` : `"${originName}" (${originId})`}`
  const where = peer === null ? ' before its body ran' : ` on peer ${book.keeper.peerLabel(peer)}`
  const tries = attempts > 1 ? ` after ${attempts} attempts` : ''
  return `Cannot fetch task "${name}" (${taskId}) as ${subject} failed${where}${tries}: ${error.name}: ${error.message}`
}

/** The record that iterating gives for a task that has ended. Never a bare task, so nothing is flattened. */
export async function completedOf<T>(index: number, handle: TaskHandle<T>): Promise<Completed<T>> {
  const outcome = handle.outcome as Outcome
  const task = [handle] as const
  const peer = peerOf(outcome)
  if (outcome.status !== 'done') {
    const error = outcomeError(handle.book, handle.no, handle.name, outcome)
    return { index, task, status: outcome.status, error, peer }
  }
  try {
    const found = handle.book.keeper.read(outcome.value)
    // Only then: a value that is a handle itself must not be flattened.
    const value = (outcome.value instanceof ChunkPayload ? await found : found) as T
    return { index, task, status: 'done', value, peer, processor: outcome.processor }
  } catch (error) {
    return { index, task, status: 'failed', error: error as Error, peer }
  }
}

function peerOf(outcome: Outcome): string | null {
  if (outcome.status === 'done') return outcome.processor === null ? null : peerOfProcessor(outcome.processor)
  return outcome.status === 'failed' ? outcome.peer : null
}
