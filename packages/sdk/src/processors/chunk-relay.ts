import {
  type BodyRequest,
  type ChunkId,
  ChunkPayload,
  type Clock,
  type ErrorRecord,
  type PackedPayload,
  type Payload,
  readChunkReference,
  readPayload,
} from '@shoal/scheduler'
import { putKeptMs } from './limits.ts'
import type { WorkerNotice } from './protocol.ts'
import type { WorkerSlot } from './worker-slot.ts'

type Ask = Extract<WorkerNotice, { readonly type: 'chunk' | 'put' }>

/** Chunks that bodies read and put. */
export interface ChunkRelay {
  ask(slot: WorkerSlot, ask: Ask): void
  /** The body of a call is over: what it put is kept for a while, for those to whom it gave a handle. */
  ended(callId: number): void
  close(): void
}

/** @param body takes what bodies ask for */
export function createChunkRelay(clock: Clock, body: (request: BodyRequest) => void): ChunkRelay {
  /** By the call that put them. */
  const kept = new Map<number, ChunkId[]>()
  const timers = new Set<() => void>()

  const releaseLater = (chunks: readonly ChunkId[]): void => {
    const cancel = clock.setTimer(clock.now() + putKeptMs, () => {
      timers.delete(cancel)
      for (const chunk of chunks) body({ type: 'release', chunk })
    })
    timers.add(cancel)
  }

  const keep = (callId: number, { ref }: ChunkPayload, isRunning: boolean): void => {
    const chunks = kept.get(callId)
    if (!isRunning) releaseLater([ref.id])
    else if (chunks === undefined) kept.set(callId, [ref.id])
    else chunks.push(ref.id)
  }

  return {
    ask(slot, { type, callId, key, bytes }) {
      const done = (value: Payload | null, error: ErrorRecord | null): void => {
        if (type === 'put' && value instanceof ChunkPayload)
          keep(callId, value, slot.pendingCall(callId) !== undefined)
        slot.post({ type: 'chunk', key, value: value?.pack() ?? null, error })
      }
      if (type === 'put') body({ type, value: readPayload(bytes) as PackedPayload, done })
      else body({ type, chunk: readChunkReference(bytes), done })
    },
    ended(callId) {
      const chunks = kept.get(callId)
      if (chunks === undefined) return
      kept.delete(callId)
      releaseLater(chunks)
    },
    close() {
      for (const cancel of timers) cancel()
    },
  }
}
