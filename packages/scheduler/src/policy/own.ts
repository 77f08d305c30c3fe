import { compareIds, type JobId, type PeerId } from '../model/ids.ts'
import type { ServiceId } from '../model/service.ts'

/**
 * Orders the members that could take over a job: the same list on every peer with the same view.
 * Rendezvous hashing (Thaler and Ravishankar, 1998): the highest hash of (key, peer) comes first.
 */
export function rankSuccessors(job: JobId | ServiceId, members: readonly PeerId[]): PeerId[] {
  return members
    .map((peer) => ({ peer, score: hash32(`${job}|${peer}`) }))
    .sort((left, right) => right.score - left.score || compareIds(left.peer, right.peer))
    .map((entry) => entry.peer)
}

/** FNV-1a over code units with a final avalanche, so that near-equal keys land far apart. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
