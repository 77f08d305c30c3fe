import { type Claim, isNewerClaim } from '../model/claim.ts'
import type { JobId, PeerId } from '../model/ids.ts'
import type { StepContext } from './context.ts'
import { applyClaim } from './takeover.ts'

/** `true` when the sender may command this job here; an older owner is told so. */
export function isCurrentOwner(ctx: StepContext, from: PeerId, job: JobId, epoch: number): boolean {
  const known = ctx.state.executor.jobs.get(job)
  const replicated = ctx.state.jobs.get(job)
  const obeyed = known === undefined ? null : { peer: known.owner, epoch: known.epoch }
  const newest = newerOf(obeyed, replicated?.claim ?? null)
  if (newest !== null && isNewerClaim(newest, { peer: from, epoch })) {
    ctx.send(from, { type: 'stale', job, epoch: newest.epoch })
    return false
  }
  // A command is as good a word of a claim as the documents: an owner that hears it stands down.
  if (replicated !== undefined) {
    applyClaim(ctx, replicated, from, epoch)
    replicated.isOrphaned = false
  }
  const heardAt = ctx.state.now
  if (known === undefined) ctx.state.executor.jobs.set(job, { owner: from, epoch, heardAt, held: new Map() })
  else {
    known.owner = from
    known.epoch = epoch
    known.heardAt = heardAt
  }
  return true
}

function newerOf(left: Claim | null, right: Claim | null): Claim | null {
  if (left === null || right === null) return left ?? right
  return isNewerClaim(right, left) ? right : left
}
