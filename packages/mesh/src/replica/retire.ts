import { type Claim, isNewerClaim, type JobId, type PeerId, type ServiceId } from '@shoal/scheduler'
import type { ReplicatedDocument } from './document.ts'
import { type LaneRecord, unpackLaneRecord } from './lane.ts'
import { isSeal } from './seals.ts'
import { serviceOf, unpackServiceRecord } from './service-records.ts'

/** What a lane says, in short. */
interface LaneSummary {
  readonly document: ReplicatedDocument
  readonly peer: PeerId
  readonly jobs: ReadonlySet<JobId>
  /** The highest epoch that it claims for each job; a job that it only submitted counts as 1. */
  readonly claims: ReadonlyMap<JobId, number>
  readonly ended: ReadonlySet<JobId>
  readonly services: ServicesSummary
}

/** What a lane says of services. */
interface ServicesSummary {
  readonly specs: ReadonlySet<ServiceId>
  /** The highest epoch that it claims for each. */
  readonly claims: ReadonlyMap<ServiceId, number>
  /** Up to which epoch it says that each has ended. */
  readonly ended: ReadonlyMap<ServiceId, number>
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
  return areServicesUnneeded(lane, others)
}

/** A service that lives needs its specification, its newest claim, and the end of what came before. */
function areServicesUnneeded(lane: LaneSummary, others: readonly LaneSummary[]): boolean {
  const { specs, claims, ended } = lane.services
  for (const [service, epoch] of ended) {
    const isOpen = ({ services }: LaneSummary): boolean =>
      services.specs.has(service) || (services.claims.get(service) ?? Number.POSITIVE_INFINITY) <= epoch
    if (others.some(isOpen)) return false
  }
  const hasEnded = (service: ServiceId): boolean =>
    ended.has(service) || others.some(({ services }) => services.ended.has(service))
  for (const service of specs) {
    if (!hasEnded(service) && !others.some(({ services }) => services.specs.has(service))) return false
  }
  for (const [service, epoch] of claims) {
    const own: Claim = { peer: lane.peer, epoch }
    const isTaken = others.some(({ peer, services }) => {
      const theirs = services.claims.get(service)
      return theirs !== undefined && isNewerClaim({ peer, epoch: theirs }, own)
    })
    if (!isTaken && !hasEnded(service)) return false
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
  const services = summariseServices(document)
  return { document, peer: document.key as PeerId, jobs, claims, ended, services }
}

function summariseServices(document: ReplicatedDocument): ServicesSummary {
  const specs = new Set<ServiceId>()
  const claims = new Map<ServiceId, number>()
  const ended = new Map<ServiceId, number>()
  for (const bytes of document.array('services').toArray()) {
    try {
      const record = unpackServiceRecord(bytes, document.key as PeerId)
      const service = serviceOf(record)
      if (record.type === 'service') specs.add(service)
      else if (record.type === 'service-ended') ended.set(service, record.epoch)
      else claims.set(service, Math.max(record.claim.epoch, claims.get(service) ?? 0))
    } catch {
      // Told as refused when it arrived.
    }
  }
  return { specs, claims, ended }
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
