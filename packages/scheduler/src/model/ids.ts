/** Identity of a peer: the first 20 hex digits of the SHA-256 of its public key. Never an address. */
export type PeerId = string & { readonly __brand: 'PeerId' }
/** Identity of a job: made by its submitter, never used twice. */
export type JobId = string & { readonly __brand: 'JobId' }
/** Identity of a processor: `<peer>/<kind>/<index>`. */
export type ProcessorId = string & { readonly __brand: 'ProcessorId' }
/** Address of an operation: hex SHA-256 of its module source, `#` and its export name. */
export type OperationHash = string & { readonly __brand: 'OperationHash' }

/**
 * Names one task of one job. The submitter numbers its tasks from 0 without gaps; tasks that bodies
 * spawn are numbered by the job's owner from {@link nestedBase} on.
 */
export interface TaskRef {
  readonly job: JobId
  readonly no: number
}

/** The first number of the tasks that running bodies spawn. */
export const nestedBase: number = 2 ** 24

/** The public form of a task's identity, as seen in errors, events and the command line. */
export function taskIdOf(ref: TaskRef): string {
  return `${ref.job}/${ref.no}`
}

/** Reads {@link taskIdOf}'s form back; `null` when the text is not a task id. */
export function parseTaskId(text: string): TaskRef | null {
  const slash = text.lastIndexOf('/')
  const no = Number(text.slice(slash + 1))
  if (slash < 1 || slash === text.length - 1 || !Number.isSafeInteger(no) || no < 0) return null
  return { job: text.slice(0, slash) as JobId, no }
}

/** The peer that a processor id belongs to. */
export function peerOfProcessor(id: ProcessorId): PeerId {
  return id.slice(0, id.indexOf('/')) as PeerId
}

/** Orders ids by code unit: the same on every platform and in every locale. */
export function compareIds(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
