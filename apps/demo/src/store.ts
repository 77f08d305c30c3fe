/** A value that changes and tells so, at most once per 40 ms. */
export interface Store<T> {
  readonly state: T
  set(change: Partial<T>): void
  subscribe(listener: () => void): () => void
}

// One repaint for a burst of tiles. A hidden page gets no animation frames, so a timer it is.
const pauseMs = 40

export function createStore<T extends object>(initial: T): Store<T> {
  let state = initial
  let isQueued = false
  const listeners = new Set<() => void>()
  return {
    get state() {
      return state
    },
    set(change) {
      state = { ...state, ...change }
      if (isQueued) return
      isQueued = true
      setTimeout(() => {
        isQueued = false
        for (const listener of listeners) listener()
      }, pauseMs)
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
