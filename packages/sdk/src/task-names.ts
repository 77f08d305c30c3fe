import type { JobId, OperationStore, Runtime } from '@shoal/scheduler'

/** Names for people, as error messages need them. */
export interface TaskNames {
  /** `null` when this peer does not know the task. */
  task(job: JobId, no: number): string | null
  /** The id, when the peer has no name. */
  peer(id: string): string
}

export function createTaskNames(parts: {
  readonly runtime: Runtime
  readonly operations: Pick<OperationStore, 'get'>
}): TaskNames {
  const { runtime, operations } = parts
  let last: { readonly job: JobId; readonly no: number; readonly name: string | null } | null = null
  const find = (job: JobId, no: number): string | null => {
    const spec = runtime.tasksOf(job).find((candidate) => candidate.no === no)
    if (spec === undefined) return null
    return spec.options.name ?? operations.get(spec.operation)?.name ?? null
  }
  return {
    task(job, no) {
      // Ten thousand tasks that failed with one input ask for one name.
      if (last?.job !== job || last.no !== no) last = { job, no, name: find(job, no) }
      return last.name
    },
    peer(id) {
      const peer = runtime.peers().find((candidate) => candidate.id === id)
      return peer === undefined ? id : `"${peer.profile.name}" (${id})`
    },
  }
}
