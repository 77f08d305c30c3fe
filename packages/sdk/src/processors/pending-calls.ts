import type { Call, CallEnded } from '@shoal/scheduler'

/** A call that a worker has and that has not ended. */
export interface PendingCall {
  readonly call: Call
  readonly sentAt: number
  isAborting: boolean
  /** The worker said so: it waited for tasks, or was asked to stop. */
  isKnownStarted: boolean
  isYielded: boolean
  /** Key of its attempt, once it spawned. */
  spawner: string | null
  cancelTimer: (() => void) | null
}

/** Why a worker went away. `crash`: by itself. `replace`: this peer ended it. */
export type Ending =
  | { readonly type: 'crash' }
  | { readonly type: 'replace' }
  | { readonly type: 'timeout'; readonly callId: number; readonly end: CallEnded }

/**
 * How the calls of a worker that went away end: each exactly once.
 * @param runningId the call that ran last, as far as known
 */
export function endAll(
  pending: Iterable<PendingCall>,
  runningId: number | null,
  ending: Ending,
  at: number,
): CallEnded[] {
  const ended: CallEnded[] = []
  for (const entry of pending) {
    entry.cancelTimer?.()
    const { callId } = entry.call
    const hadStarted = callId === runningId || entry.isKnownStarted
    if (ending.type === 'timeout' && callId === ending.callId) ended.push(ending.end)
    else if (entry.isAborting) ended.push(cancelled(callId, hadStarted ? at - entry.sentAt : 0))
    else if (ending.type === 'crash' && hadStarted) {
      ended.push({ callId, outcome: { status: 'lost' }, ranMs: at - entry.sentAt })
    } else ended.push(refused(callId))
  }
  return ended
}

export function refused(callId: number): CallEnded {
  return { callId, outcome: { status: 'refused' }, ranMs: 0 }
}

export function cancelled(callId: number, ranMs: number): CallEnded {
  return { callId, outcome: { status: 'cancelled', reason: 'the call was stopped' }, ranMs }
}
