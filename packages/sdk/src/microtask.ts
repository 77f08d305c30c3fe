const resolved = Promise.resolve()

/**
 * Calls back at the end of the turn: what `queueMicrotask` does. In Node that one makes a record for each
 * callback, which costs more than all else on the way of a small task.
 */
export function atTurnEnd(callback: () => void): void {
  void resolved.then(callback)
}
