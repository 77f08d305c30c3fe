import { type ChunkId, ChunkPayload, isSameChunk } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type PeerId, taskIdOf } from '../model/ids.ts'
import { type ChunkState, findTask, type SchedulerState, type TaskState } from './state.ts'

/* What follows from the state about one chunk: who answers for it, who can have it, and what to say when nobody has. */

/** Who knows the copies of a chunk and answers for it. */
export function trackerOf(state: SchedulerState, chunk: ChunkState): PeerId {
  const { task } = chunk.payload
  if (task === null) return chunk.keeper
  const owner = state.jobs.get(task.job)?.claim.peer ?? state.executor.jobs.get(task.job)?.owner ?? ''
  return owner === '' ? chunk.keeper : (owner as PeerId)
}

/** The task whose outcome the chunk is. */
export function makerOf(state: SchedulerState, chunk: ChunkState): TaskState | null {
  const task = chunk.payload.task === null ? undefined : findTask(state, chunk.payload.task)
  const value = task?.outcome?.status === 'done' ? task.outcome.value : null
  const isMaker = value instanceof ChunkPayload && isSameChunk(value.ref, chunk.payload.ref)
  return task !== undefined && isMaker ? task : null
}

/** Of itself a peer knows better than others, who may speak of an earlier start. */
export function canHold({ self, stored }: SchedulerState, { payload }: ChunkState, peer: PeerId): boolean {
  return peer !== self || stored.has(payload.ref.id)
}

export function lostError(chunk: ChunkState, cause: ErrorRecord | null): ErrorRecord {
  const { ref, task } = chunk.payload
  const origin = task === null ? 'its user put it there' : `task "${taskIdOf(task)}" made it`
  const text = `Cannot get chunk "${ref.id}" as a peer of the room must hold it: current value is none, it was on peer ${ref.home}, where ${origin}`
  return errorRecord('E_CHUNK_LOST', text, cause)
}

export function referenceError(id: ChunkId, found: string): ErrorRecord {
  return errorRecord('E_CHUNK_REF', `Cannot use chunk "${id}" as it must be held for its users: ${found}`)
}
