import type { Call, CallEnded } from '@shoal/scheduler'

/** What is special about a call that a worker has; most calls have nothing. */
export interface CallState {
  isAborting: boolean
  /** The worker said so: it waited for tasks, or was asked to stop. */
  isKnownStarted: boolean
  isYielded: boolean
  cancelTimer: (() => void) | null
}

/** Why a worker went away. `crash`: by itself. `replace`: this peer ended it. */
export type Ending =
  | { readonly type: 'crash' }
  | { readonly type: 'replace' }
  | { readonly type: 'timeout'; readonly callId: number; readonly end: CallEnded }

/** The calls that one worker has and that have not ended, in the order in which they were given. */
export class PendingCalls {
  readonly #calls = new Map<number, Call>()
  readonly #states = new Map<number, CallState>()
  readonly #progress: Int32Array | null

  /** @param progress where the worker tells which call runs; `null` where memory cannot be shared */
  constructor(progress: Int32Array | null) {
    this.#progress = progress
  }

  get size(): number {
    return this.#calls.size
  }

  get(callId: number): Call | undefined {
    return this.#calls.get(callId)
  }

  add(call: Call): void {
    this.#calls.set(call.callId, call)
  }

  /** Takes a call out; `undefined` when it has ended before. */
  take(callId: number): Call | undefined {
    const call = this.#calls.get(callId)
    if (call !== undefined) this.#calls.delete(callId)
    return call
  }

  /** What is special about a call that was taken out; forgets it. */
  takeState(callId: number): CallState | null {
    if (this.#states.size === 0) return null
    const state = this.#states.get(callId)
    if (state === undefined) return null
    this.#states.delete(callId)
    state.cancelTimer?.()
    return state
  }

  /** What is special about a pending call, to be changed; `null` when it is not pending. */
  state(callId: number): CallState | null {
    if (!this.#calls.has(callId)) return null
    let state = this.#states.get(callId)
    if (state === undefined) {
      state = { isAborting: false, isKnownStarted: false, isYielded: false, cancelTimer: null }
      this.#states.set(callId, state)
    }
    return state
  }

  /** `none`: nothing is being stopped. `stuck`: something that runs is. */
  abortState(): 'none' | 'waiting' | 'stuck' {
    let result: 'none' | 'waiting' = 'none'
    const runningId = this.#runningId()
    for (const [callId, state] of this.#states) {
      if (!state.isAborting) continue
      if (state.isKnownStarted || callId === runningId) return 'stuck'
      result = 'waiting'
    }
    return result
  }

  /** Ends all: each call exactly once. */
  endAll(ending: Ending): CallEnded[] {
    const runningId = this.#runningId()
    const ended: CallEnded[] = []
    for (const callId of this.#calls.keys()) {
      const state = this.takeState(callId)
      const hadStarted = callId === runningId || state?.isKnownStarted === true
      if (ending.type === 'timeout' && callId === ending.callId) ended.push(ending.end)
      else if (state?.isAborting === true) ended.push(cancelled(callId, 0))
      else if (ending.type === 'crash' && hadStarted)
        ended.push({ callId, outcome: { status: 'lost' }, ranMs: 0 })
      else ended.push(refused(callId))
    }
    this.#calls.clear()
    return ended
  }

  /** The call that runs: told by shared memory, else the first that has neither ended nor waits. */
  #runningId(): number | null {
    const shown = this.#progress === null ? null : Atomics.load(this.#progress, 0)
    for (const callId of this.#calls.keys()) {
      if (shown === null ? this.#states.get(callId)?.isYielded !== true : (callId | 0) === shown)
        return callId
    }
    return null
  }
}

export function refused(callId: number): CallEnded {
  return { callId, outcome: { status: 'refused' }, ranMs: 0 }
}

export function cancelled(callId: number, ranMs: number): CallEnded {
  return { callId, outcome: { status: 'cancelled', reason: 'the call was stopped' }, ranMs }
}
