import type { JobView, PeerView } from '@shoal/scheduler'
import type { JobInfo, PeerInfo, ProcessorInfo } from './types.ts'

/** A peer as users see it. */
export function toPeerInfo(peer: PeerView): PeerInfo {
  return {
    id: peer.id,
    name: peer.profile.name,
    role: peer.role,
    isSelf: peer.isSelf,
    isSuspected: peer.isSuspected,
    epoch: peer.epoch,
    processors: peer.profile.processors.map(({ id, kind }) => ({ id, kind })),
    rttMs: peer.rttMs,
    tasksDone: peer.tasksDone,
  }
}

/** The processors of some peers, in their order. */
export function toProcessorInfos(peers: readonly PeerView[]): ProcessorInfo[] {
  return peers.flatMap((peer) =>
    peer.profile.processors.map((processor) => ({
      id: processor.id,
      kind: processor.kind,
      peer: peer.id,
      isDefault: processor.isDefault,
      score: processor.score,
    })),
  )
}

/** A job as users see it. */
export function toJobInfo(job: JobView): JobInfo {
  const { id, name, owner, epoch, isMine, total, done, failed, cancelled, isEnded } = job
  return { id, name, owner, epoch, isMine, total, done, failed, cancelled, isEnded }
}
