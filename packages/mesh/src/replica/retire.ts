import { type Claim, isNewerClaim, type JobId, type PeerId } from '@shoal/scheduler'
import type { ReplicatedDocument } from './document.ts'
import { type LaneRecord, unpackLaneRecord } from './lane.ts'
import { isSeal } from './seals.ts'

/** What a lane says, in short. */
interface LaneSummary {
  readonly document: ReplicatedDocument
  readonly peer: PeerId
  readonly jobs: ReadonlySet<JobId>
  /** The highest epoch that it claims for each job; a job that it only submitted counts as 1. */
  readonly claims: ReadonlyMap<JobId, number>
  readonly ended: ReadonlySet<JobId>
}

/**
 * The lanes that nobody needs any more: their members are gone, each of their jobs has ended or was
 * claimed by another, and no other lane needs their word that a job ended. Every replica decides this
 * alone, from the documents.
 * @param isGone `false` for members in the view, and for those that left a short while ago
 * @param isEnded whether the job is known to have ended besides what lanes say
 */
export function retiredLanes(
  lanes: readonly ReplicatedDocument[],
  isGone: (peer: PeerId) => boolean,
  isEnded: (job: JobId) => boolean,
): readonly ReplicatedDocument[] {
  let left = lanes.map(summarise)
  const retired: ReplicatedDocument[] = []
  for (;;) {
    const next = left.find((lane) => isGone(lane.peer) && isUnneeded(lane, left, isEnded))
    if (next === undefined) return retired
    retired.push(next.document)
    left = left.filter((lane) => lane !== next)
  }
}

function isUnneeded(
  lane: LaneSummary,
  lanes: readonly LaneSummary[],
  isEnded: (job: JobId) => boolean,
): boolean {
  const others = lanes.filter((other) => other !== lane)
  for (const job of lane.ended) {
    if (!isEnded(job) && others.some((other) => other.claims.has(job))) return false
  }
  for (const [job, epoch] of lane.claims) {
    if (isEnded(job) || lanes.some((any) => any.ended.has(job))) continue
    const own: Claim = { peer: lane.peer, epoch }
    const isTaken = others.some(({ peer, claims }) => {
      const theirs = claims.get(job)
      return theirs !== undefined && isNewerClaim({ peer, epoch: theirs }, own)
    })
    // A submitter's entry is also what names the job: it stays until the job has ended.
    if (!isTaken || lane.jobs.has(job)) return false
  }
  return true
}

function summarise(document: ReplicatedDocument): LaneSummary {
  const jobs = new Set<JobId>()
  const claims = new Map<JobId, number>()
  const ended = new Set<JobId>()
  for (const record of recordsOf(document)) {
    if (record.type === 'ended') ended.add(record.job)
    else {
      const epoch = record.type === 'claim' ? record.epoch : 1
      claims.set(record.job, Math.max(epoch, claims.get(record.job) ?? 0))
      if (record.type === 'job') jobs.add(record.job)
    }
  }
  return { document, peer: document.key as PeerId, jobs, claims, ended }
}

function recordsOf(document: ReplicatedDocument): readonly LaneRecord[] {
  const entries = document.array('jobs').toArray()
  return entries.flatMap((bytes) => {
    if (isSeal(bytes)) return []
    try {
      return [unpackLaneRecord(bytes, document.key as PeerId)]
    } catch {
      return []
    }
  })
}
