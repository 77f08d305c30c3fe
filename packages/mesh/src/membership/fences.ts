import { type PeerId, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import type { Remote } from '../wire/incoming.ts'

/** Epochs that are over: a peer that was given up at one may only come back at a higher one. */
export interface Fences {
  /** The highest epoch of the peer that is over; -1 when none is. */
  of(peer: PeerId): number
  raise(peer: PeerId, epoch: number): void
}

export function createFences(): Fences {
  const epochs = new Map<PeerId, number>()
  return {
    of: (peer) => epochs.get(peer) ?? -1,
    raise(peer, epoch) {
      const raised = Math.max(epoch, epochs.get(peer) ?? -1)
      epochs.delete(peer)
      epochs.set(peer, raised)
      const oldest = epochs.size > limits.fencesMax ? epochs.keys().next().value : undefined
      if (oldest !== undefined) epochs.delete(oldest)
    },
  }
}

export function staleError(remote: Remote, fence: number): ShoalError {
  return new ShoalError(
    'E_EPOCH_STALE',
    `Cannot accept ${remote.peer} as its epoch must be above ${fence}: current value is ${remote.epoch}`,
    { data: { epoch: fence } },
  )
}
