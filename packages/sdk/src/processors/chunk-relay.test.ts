import { type BodyRequest, ChunkPayload, type ChunkRef, type Clock, type PeerId } from '@shoal/scheduler'
import { expect, test } from 'vitest'
import { createChunkRelay } from './chunk-relay.ts'
import { putKeptMs } from './limits.ts'
import type { WorkerSlot } from './worker-slot.ts'

/** A clock that is moved by hand. */
function createHandClock(): Clock & { advance(byMs: number): void } {
  const timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()
  let now = 0
  return {
    now: () => now,
    setTimer(atMs, callback) {
      const timer = { atMs, callback }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    defer: queueMicrotask,
    advance(byMs) {
      now += byMs
      for (const timer of [...timers].filter(({ atMs }) => atMs <= now)) {
        timers.delete(timer)
        timer.callback()
      }
    },
  }
}

test('[CH12] what a body put is let go 60 s after its end, also when it ended before it was there', () => {
  const clock = createHandClock()
  const asked: BodyRequest[] = []
  const relay = createChunkRelay(clock, (request) => asked.push(request))
  const running = new Set([1])
  const told: number[] = []
  const slot = {
    pendingCall: (callId: number) => (running.has(callId) ? {} : undefined),
    post: ({ key }: { readonly key: number }) => told.push(key),
  } as unknown as WorkerSlot
  const answer = (index: number, id: string): void => {
    const ref = { id, sizeBytes: 1, hash: new Uint8Array(32), home: 'p' as PeerId } as unknown as ChunkRef
    const request = asked[index]
    if (request?.type === 'put') request.done(new ChunkPayload(ref, null, []), null)
  }
  for (const key of [0, 1, 2]) relay.ask(slot, { type: 'put', callId: 1, key, bytes: Uint8Array.of(key) })
  answer(0, 'p.1.0')
  answer(1, 'p.1.1')
  running.delete(1)
  relay.ended(1)
  clock.advance(putKeptMs / 2)
  answer(2, 'p.1.2')
  const released = (): unknown[] => asked.flatMap((one) => (one.type === 'release' ? [one.chunk] : []))
  expect(released()).toEqual([])
  clock.advance(putKeptMs / 2)
  expect(released()).toEqual(['p.1.0', 'p.1.1'])
  clock.advance(putKeptMs / 2)
  expect(released()).toEqual(['p.1.0', 'p.1.1', 'p.1.2'])
  expect(told).toEqual([0, 1, 2])
})
