import type { Clock, ProcessorId } from '@shoal/scheduler'
import { crashesMax, crashPauseMaxMs, crashPauseMs, crashWindowMs } from './limits.ts'
import type { WorkerSlot } from './worker-slot.ts'

/** One processor: a worker, or its successor, or a pause while they keep crashing. */
export interface Seat {
  readonly id: ProcessorId
  /** `null` during a pause and after `close`. */
  readonly slot: WorkerSlot | null
  /** The worker is gone: starts another one, after a pause when it crashed too often. */
  restart(isCrash: boolean, reason: string): void
  close(): void
  /** The seat is gone: its worker, if any, is the caller's now. */
  vacate(): WorkerSlot | null
}

/**
 * Keeps one processor staffed.
 * @param onChange the processor came or went
 */
export function createSeat(
  id: ProcessorId,
  clock: Clock,
  start: () => WorkerSlot,
  onChange: () => void,
): Seat {
  let slot: WorkerSlot | null = start()
  let crashes: number[] = []
  let pauseMs = crashPauseMs
  let cancelPause = (): void => {}

  const pause = (reason: string): void => {
    slot = null
    console.warn(`Worker ${id} crashed ${crashesMax} times and pauses for ${pauseMs} ms: ${reason}`)
    cancelPause = clock.setTimer(clock.now() + pauseMs, () => {
      crashes = []
      slot = start()
      onChange()
    })
    pauseMs = Math.min(pauseMs * 2, crashPauseMaxMs)
    onChange()
  }

  return {
    id,
    get slot() {
      return slot
    },
    restart(isCrash, reason) {
      const now = clock.now()
      if (isCrash) {
        // A quiet minute is forgiven.
        if (now - (crashes.at(-1) ?? now) > crashPauseMaxMs) pauseMs = crashPauseMs
        crashes = [...crashes.filter((at) => now - at < crashWindowMs), now]
        if (crashes.length >= crashesMax) return pause(reason)
      }
      slot = start()
    },
    vacate() {
      cancelPause()
      const left = slot
      slot = null
      return left
    },
    close() {
      this.vacate()?.end({ type: 'replace' })
    },
  }
}
