import type { CloseReason, Unsubscribe } from '@shoal/scheduler'
import { assert } from '@shoal/scheduler'
import { KEPT_BYTES_MAX } from './limits.ts'

/** Where exceptions of listeners go: they never reach the one who emitted. */
export type ReportError = (error: unknown) => void

/** Subscriptions to one event. */
export interface Listeners<A extends readonly unknown[]> {
  readonly size: number
  add(listener: (...args: A) => void): Unsubscribe
  emit(...args: A): void
  clear(): void
}

export function createListeners<A extends readonly unknown[]>(report: ReportError): Listeners<A> {
  const entries = new Set<{ readonly listener: (...args: A) => void }>()
  return {
    get size() {
      return entries.size
    },
    add(listener) {
      const entry = { listener }
      entries.add(entry)
      return () => {
        entries.delete(entry)
      }
    },
    emit(...args) {
      for (const entry of [...entries]) {
        if (!entries.has(entry)) continue
        guarded(report, () => entry.listener(...args))
      }
    },
    clear() {
      entries.clear()
    },
  }
}

/** Runs `callback`; what it throws is reported. */
export function guarded(report: ReportError, callback: () => void): void {
  try {
    callback()
  } catch (error) {
    try {
      report(error)
    } catch {
      // A reporter that throws has nobody left to tell.
    }
  }
}

/** The listener side of a link: what every implementation shares. */
export interface LinkEvents {
  readonly isClosed: boolean
  /** `false`: too much is kept for a listener that never came. */
  deliver(message: Uint8Array): boolean
  drained(): void
  /** Ends the link for its listeners. `false` when it had ended already. */
  close(reason: CloseReason): boolean
  onMessage(listener: (message: Uint8Array) => void): Unsubscribe
  onDrain(listener: () => void): Unsubscribe
  onClose(listener: (reason: CloseReason) => void): Unsubscribe
}

export function createLinkEvents(report: ReportError): LinkEvents {
  const drains = createListeners<[]>(report)
  const closes = createListeners<[CloseReason]>(report)
  const kept: Uint8Array[] = []
  let keptBytes = 0
  let listener: ((message: Uint8Array) => void) | null = null
  let closedBy: CloseReason | null = null

  const hand = (message: Uint8Array): void => guarded(report, () => listener?.(message))
  const handKept = (): void => {
    while (listener !== null && closedBy === null) {
      const message = kept.shift()
      if (message === undefined) return
      keptBytes -= message.byteLength
      hand(message)
    }
  }
  return {
    get isClosed() {
      return closedBy !== null
    },
    deliver(message) {
      if (closedBy !== null) return true
      if (listener !== null && kept.length === 0) {
        hand(message)
        return true
      }
      kept.push(message)
      keptBytes += message.byteLength
      return keptBytes <= KEPT_BYTES_MAX
    },
    drained: () => drains.emit(),
    close(reason) {
      if (closedBy !== null) return false
      // What the other side sent before it left still counts; what is closed here stays silent.
      if (reason !== 'closed-here') handKept()
      if (closedBy !== null) return false
      closedBy = reason
      listener = null
      kept.length = 0
      drains.clear()
      closes.emit(reason)
      closes.clear()
      return true
    },
    onMessage(next) {
      assert(listener === null, 'Cannot listen to a link as it must have no listener: current value is one')
      if (closedBy !== null) return () => {}
      listener = next
      // Not at once: the caller has not got its unsubscribe function yet.
      queueMicrotask(handKept)
      return () => {
        if (listener === next) listener = null
      }
    },
    onDrain: (next) => drains.add(next),
    onClose(next) {
      if (closedBy === null) return closes.add(next)
      const reason = closedBy
      guarded(report, () => next(reason))
      return () => {}
    },
  }
}
