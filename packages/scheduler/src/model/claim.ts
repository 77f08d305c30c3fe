import { compareIds, type PeerId } from './ids.ts'

/** One peer's word that it owns a job or service since `epoch`. */
export interface Claim {
  readonly peer: PeerId
  readonly epoch: number
}

/** `true` when `left` outranks `right`: the higher epoch, then the higher peer id. */
export function isNewerClaim(left: Claim, right: Claim): boolean {
  return left.epoch !== right.epoch ? left.epoch > right.epoch : compareIds(left.peer, right.peer) > 0
}
