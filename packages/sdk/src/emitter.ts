import type { Unsubscribe } from '@shoal/scheduler'

/** Listeners by event name. A listener that throws breaks neither the others nor the sender. */
export interface Emitter<Events extends object> {
  on<K extends keyof Events>(event: K, listener: (detail: Events[K]) => void): Unsubscribe
  emit<K extends keyof Events>(event: K, detail: Events[K]): void
  /** Lets the sender skip the making of details that nobody wants. */
  has(event: keyof Events): boolean
  clear(): void
}

/** What a listener threw surfaces as an uncaught error, as it would from a listener of the platform. */
function surface(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

/** Makes an {@link Emitter} without listeners. */
export function createEmitter<Events extends object>(): Emitter<Events> {
  const listeners = new Map<keyof Events, Set<(detail: never) => void>>()
  return {
    on(event, listener) {
      // A wrapper for each subscription: the same function may subscribe twice and leave once.
      const own = (detail: never): void => listener(detail)
      const set = listeners.get(event) ?? new Set()
      listeners.set(event, set.add(own))
      return () => {
        set.delete(own)
      }
    },
    emit(event, detail) {
      for (const listener of [...(listeners.get(event) ?? [])]) {
        try {
          listener(detail as never)
        } catch (error) {
          surface(error)
        }
      }
    },
    has: (event) => (listeners.get(event)?.size ?? 0) > 0,
    clear: () => listeners.clear(),
  }
}
