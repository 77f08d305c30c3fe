import { type Outcome, type TaskRef, taskIdOf } from '@shoal/scheduler'
import { errorToRecord } from '../values/index.ts'
import type { WireOutcome } from './protocol.ts'
import { payloadToWire } from './wire-value.ts'
import type { WorkerSlot } from './worker-slot.ts'

/** Brings outcomes to the workers whose bodies wait for them. */
export class OutcomeRelay {
  readonly #watchers = new Map<string, Set<WorkerSlot>>()

  /** `true`: nobody here waited for it before. */
  watch(ref: TaskRef, slot: WorkerSlot): boolean {
    const taskId = taskIdOf(ref)
    const watchers = this.#watchers.get(taskId)
    if (watchers === undefined) this.#watchers.set(taskId, new Set([slot]))
    else watchers.add(slot)
    return watchers === undefined
  }

  settle(ref: TaskRef, outcome: Outcome): void {
    const taskId = taskIdOf(ref)
    const watchers = this.#watchers.get(taskId)
    if (watchers === undefined) return
    this.#watchers.delete(taskId)
    for (const slot of watchers) sendOutcome(slot, ref, outcome)
  }

  forget(slot: WorkerSlot): void {
    for (const [taskId, watchers] of this.#watchers) {
      if (watchers.delete(slot) && watchers.size === 0) this.#watchers.delete(taskId)
    }
  }
}

function sendOutcome(slot: WorkerSlot, ref: TaskRef, outcome: Outcome): void {
  if (outcome.status !== 'done') {
    slot.post({ type: 'settled', ref, outcome })
    return
  }
  try {
    try {
      slot.post({ type: 'settled', ref, outcome: { status: 'done', value: payloadToWire(outcome.value) } })
    } catch {
      // It looked plain and was not (a proxy): packing reads through that.
      const packed = { packed: outcome.value.pack() }
      slot.post({ type: 'settled', ref, outcome: { status: 'done', value: packed } })
    }
  } catch (error) {
    const failed: WireOutcome = {
      status: 'failed',
      error: errorToRecord(error),
      origin: ref,
      attempts: 1,
      peer: null,
    }
    slot.post({ type: 'settled', ref, outcome: failed })
  }
}
