/** Something that a signal can cancel. */
export interface Cancellable {
  readonly isFinished: boolean
  cancel(reason: string): void
}

/** What the tasks of one `signal` share: a single listener, however many tasks there are. */
export interface SignalTasks {
  /** Why it aborted already; `null` while it has not. */
  reason(): string | null
  add(task: Cancellable): void
}

const compactFrom = 256
const shared = new WeakMap<AbortSignal, SignalTasks>()

/** The tasks that `signal` cancels. */
export function signalTasks(signal: AbortSignal): SignalTasks {
  const known = shared.get(signal)
  if (known !== undefined) return known
  const made = createSignalTasks(signal)
  shared.set(signal, made)
  return made
}

function reasonOf(signal: AbortSignal): string {
  const reason: unknown = signal.reason
  return reason instanceof Error ? reason.message : String(reason)
}

function createSignalTasks(signal: AbortSignal): SignalTasks {
  let tasks: Cancellable[] = []
  let compactAt = compactFrom
  const onAbort = (): void => {
    const reason = reasonOf(signal)
    for (const task of tasks) if (!task.isFinished) task.cancel(reason)
    tasks = []
  }
  if (!signal.aborted) signal.addEventListener('abort', onAbort, { once: true })
  return {
    reason: () => (signal.aborted ? reasonOf(signal) : null),
    add(task) {
      tasks.push(task)
      if (tasks.length < compactAt) return
      // Ended tasks go now and then, so that a long-lived signal does not hold them all.
      tasks = tasks.filter((member) => !member.isFinished)
      compactAt = Math.max(compactFrom, tasks.length * 2)
    },
  }
}
