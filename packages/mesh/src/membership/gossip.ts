import type { Remote } from '../wire/incoming.ts'
import type { Session } from '../wire/session.ts'

/** Tells peers at which addresses others are, so that they find each other although signalling is away. */
export interface Gossip {
  /** Tells `session` of all others. */
  tell(session: Session): void
  /** Tells all others of a peer that is new. */
  introduce(newcomer: Session): void
  /** Tells everybody again when it is time. */
  tick(now: number): void
}

/** Pause between two rounds of telling others the addresses that this peer is linked to. */
const gossipMs = 15_000

export function createGossip(startedAt: number, sessions: () => readonly Session[]): Gossip {
  let dueAt = startedAt + gossipMs
  const tell = (session: Session): void => {
    const to = session.remote
    const others = sessions().filter(({ remote }) => remote.peer !== to.peer && isUseful(to, remote))
    session.sendPeers(others.map((one) => ({ address: addressOf(one), role: one.remote.role })))
  }
  return {
    tell,
    introduce(newcomer) {
      const { remote } = newcomer
      for (const other of sessions()) {
        if (other.remote.peer === remote.peer || !isUseful(other.remote, remote)) continue
        other.sendPeers([{ address: addressOf(newcomer), role: remote.role }])
      }
    },
    tick(now) {
      if (now < dueAt) return
      dueAt = now + gossipMs
      for (const session of sessions()) tell(session)
    },
  }
}

export function addressOf(session: Session): string {
  return session.pipe.link.remoteAddress
}

/** Contributors have no use for contributors. */
function isUseful(to: Remote, about: Remote): boolean {
  return to.role === 'member' || about.role === 'member'
}
