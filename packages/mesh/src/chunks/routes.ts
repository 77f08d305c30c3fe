import { type PeerId, type PeerRole, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import type { Session } from '../wire/session.ts'
import type { ChunkNetwork, MeshChunkStore } from './store.ts'
import type { Wanted } from './transfers.ts'

export interface ChunkRoutesOptions {
  readonly role: PeerRole
  readonly store: () => Pick<MeshChunkStore, 'has' | 'onWanted' | 'onAnswer' | 'onReach'>
  session(peer: PeerId): Pick<Session, 'wantPiece' | 'sendPiece' | 'pipe'> | null
  isKnown(peer: PeerId): boolean
  members(): readonly PeerId[]
}

/**
 * The ways between chunk stores: links, and for contributors, which have none to each other, members that pass
 * requests and pieces on. A member keeps nothing of what it passes on but the piece on its way.
 */
export interface ChunkRoutes extends ChunkNetwork {
  /** @param via the peer that has it, when `from` has no link to it */
  onWanted(from: PeerId, wanted: Wanted, via: PeerId | null): void
  onPiece(from: PeerId, request: number, bytes: Uint8Array | null): void
  onReach(peer: PeerId): void
}

/** Requests that are passed on have numbers from here on; those of this peer's own fetches lie below. */
const passedFrom = 2 ** 31

export function createChunkRoutes(options: ChunkRoutesOptions): ChunkRoutes {
  const { role, session, isKnown, members } = options
  /** Own requests that a member passes on. */
  const own = new Map<number, { readonly holder: PeerId; readonly member: PeerId }>()
  /** Requests of others that are passed on. */
  const passed = new Map<
    number,
    { readonly from: PeerId; readonly request: number; readonly holder: PeerId }
  >()
  let nextPassed = passedFrom

  function helper(): PeerId | undefined {
    return role === 'contributor' ? members().find((member) => session(member) !== null) : undefined
  }

  function passOn(from: PeerId, wanted: Wanted, holder: PeerId): void {
    const there = session(holder)
    if (there === null) {
      void session(from)?.sendPiece(wanted.request, null)
      return
    }
    let open = 0
    for (const one of passed.values()) if (one.from === from) open++
    if (open >= limits.chunkPiecesQueuedMax) throw tooMany(open)
    const request = nextPassed
    nextPassed = nextPassed === 2 ** 32 - 1 ? passedFrom : nextPassed + 1
    passed.set(request, { from, request: wanted.request, holder })
    there.wantPiece({ ...wanted, request }, null)
  }

  return {
    reach(peer) {
      if (session(peer) !== null) return 'linked'
      if (isKnown(peer)) return 'away'
      return helper() === undefined ? 'gone' : 'linked'
    },
    ask(peer, wanted) {
      const direct = session(peer)
      const member = direct === null ? helper() : undefined
      if (member !== undefined) own.set(wanted.request, { holder: peer, member })
      if (direct !== null) direct.wantPiece(wanted, null)
      else if (member !== undefined) session(member)?.wantPiece(wanted, peer)
    },
    answer: async (peer, request, bytes) => session(peer)?.sendPiece(request, bytes),
    refuse: (peer, error) => session(peer)?.pipe.refuse(error),
    onWanted(from, wanted, via) {
      const store = options.store()
      if (via === null || store.has(wanted.id)) store.onWanted(from, wanted)
      else passOn(from, wanted, via)
    },
    onPiece(from, request, bytes) {
      const there = passed.get(request)
      if (there?.holder === from) {
        passed.delete(request)
        void session(there.from)?.sendPiece(there.request, bytes)
        return
      }
      const asked = own.get(request)
      const isPassed = asked?.member === from
      if (isPassed) own.delete(request)
      options.store().onAnswer(isPassed ? asked.holder : from, request, bytes)
    },
    onReach(peer) {
      for (const [request, one] of passed) {
        if (one.holder !== peer && one.from !== peer) continue
        passed.delete(request)
        if (one.holder === peer) void session(one.from)?.sendPiece(one.request, null)
      }
      const holders = new Set([peer])
      for (const [request, one] of own) {
        if (one.member !== peer) continue
        own.delete(request)
        holders.add(one.holder)
      }
      for (const holder of holders) options.store().onReach(holder)
    },
  }
}

function tooMany(count: number): ShoalError {
  const text = `Cannot pass on another request for a piece as at most ${limits.chunkPiecesQueuedMax} may be open`
  return new ShoalError('E_LIMIT', `${text}: current value is ${count}`)
}
