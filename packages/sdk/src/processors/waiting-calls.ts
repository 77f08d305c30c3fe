import type { CallFrame, WireSlice } from './protocol.ts'

/** A slice, which waits among the frames of calls. */
export interface SliceFrame {
  readonly ids: readonly [number]
  readonly slice: WireSlice
}

/** Where the next call stands. */
export interface NextCall {
  readonly frame: CallFrame | SliceFrame
  readonly at: number
}

/** The calls of a worker that have not started, in their order. A class for speed: it owns the place in them. */
export class WaitingCalls {
  readonly #frames: (CallFrame | SliceFrame)[] = []
  /** The next entry of the first frame. */
  #at = 0
  /** Calls in the frames that must not start any more. */
  readonly #dropped = new Set<number>()

  push(frame: CallFrame | SliceFrame): void {
    this.#frames.push(frame)
  }

  /** Takes the next one that may start; `null`: none is left. */
  take(): NextCall | null {
    for (let frame = this.#frames[0]; frame !== undefined; frame = this.#frames[0]) {
      while (this.#at < frame.ids.length) {
        const at = this.#at++
        if (this.#dropped.size === 0 || !this.#dropped.delete(frame.ids[at] as number)) return { frame, at }
      }
      this.#frames.shift()
      this.#at = 0
    }
    return null
  }

  /** The call must not start any more. */
  drop(callId: number): void {
    this.#dropped.add(callId)
  }

  ids(): number[] {
    const waiting: number[] = []
    this.#frames.forEach((frame, index) => {
      for (let at = index === 0 ? this.#at : 0; at < frame.ids.length; at++) {
        const callId = frame.ids[at] as number
        if (!this.#dropped.has(callId)) waiting.push(callId)
      }
    })
    return waiting
  }
}
