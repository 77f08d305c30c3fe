import { type PeerId, type PeerRole, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import type { Session } from '../wire/session.ts'
import type { ChunkNetwork, MeshChunkStore } from './store.ts'
import type { Wanted } from './wanted.ts'

export interface ChunkRoutesOptions {
  readonly role: PeerRole
  readonly store: () => Pick<MeshChunkStore, 'has' | 'onWanted' | 'onAnswer' | 'onLost' | 'onReach'>
  session(peer: PeerId): Pick<Session, 'wantPiece' | 'sendPiece' | 'pipe' | 'remote'> | null
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
  /** The answer to a request came in part, and the rest never will. */
  onPieceLost(from: PeerId, request: number): void
  onReach(peer: PeerId): void
}

/** Requests that are passed on have numbers from here on; those of this peer's own fetches lie below. */
const passedFrom = 2 ** 31

export function createChunkRoutes(options: ChunkRoutesOptions): ChunkRoutes {
  const { role, session, isKnown, members } = options
  const passing = createPassing(session)
  /** Own requests that a member passes on. */
  const own = new Map<number, { readonly holder: PeerId; readonly member: PeerId }>()
  let relayedBytes = 0

  function helper(): PeerId | undefined {
    return role === 'contributor' ? members().find((member) => session(member) !== null) : undefined
  }

  /** Who a request was really for. */
  function takeOwn(from: PeerId, request: number): PeerId {
    const asked = own.get(request)
    if (asked?.member !== from) return from
    own.delete(request)
    return asked.holder
  }

  return {
    get relayedBytes() {
      return relayedBytes
    },
    reach(peer) {
      if (session(peer) !== null) return 'linked'
      if (isKnown(peer)) return 'away'
      return helper() === undefined ? 'gone' : 'linked'
    },
    isTrusted: (peer) => session(peer)?.remote.role === 'member',
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
      else passing.passOn(from, wanted, via)
    },
    onPiece(from, request, bytes) {
      const there = passing.take(from, request)
      if (there !== undefined) {
        relayedBytes += bytes?.length ?? 0
        void session(there.from)?.sendPiece(there.wanted.request, bytes)
      } else options.store().onAnswer(takeOwn(from, request), request, bytes)
    },
    onPieceLost(from, request) {
      const there = passing.take(from, request)
      if (there !== undefined) passing.passOn(there.from, there.wanted, from)
      else options.store().onLost(takeOwn(from, request), request)
    },
    onReach(peer) {
      passing.onReach(peer)
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

/** A request of another peer that is passed on. */
interface Passed {
  readonly from: PeerId
  readonly wanted: Wanted
  readonly holder: PeerId
}

interface Passing {
  /** @throws ShoalError `E_LIMIT` */
  passOn(from: PeerId, wanted: Wanted, holder: PeerId): void
  /** The request that this peer was asked to answer; it is over. */
  take(holder: PeerId, request: number): Passed | undefined
  onReach(peer: PeerId): void
}

function createPassing(session: ChunkRoutesOptions['session']): Passing {
  const passed = new Map<number, Passed>()
  let nextPassed = passedFrom

  return {
    passOn(from, wanted, holder) {
      const there = session(holder)
      let open = 0
      for (const one of passed.values()) if (one.from === from) open++
      const isFull = open >= limits.chunkPiecesQueuedMax
      if (there === null || isFull) void session(from)?.sendPiece(wanted.request, null)
      if (isFull) throw tooMany(open)
      if (there === null) return
      const request = nextPassed
      nextPassed = nextPassed === 2 ** 32 - 1 ? passedFrom : nextPassed + 1
      passed.set(request, { from, wanted, holder })
      there.wantPiece({ ...wanted, request }, null)
    },
    take(holder, request) {
      const one = passed.get(request)
      if (one?.holder !== holder) return undefined
      passed.delete(request)
      return one
    },
    onReach(peer) {
      for (const [request, one] of passed) {
        if (one.holder !== peer && one.from !== peer) continue
        passed.delete(request)
        if (one.holder === peer) void session(one.from)?.sendPiece(one.wanted.request, null)
      }
    },
  }
}

function tooMany(count: number): ShoalError {
  const text = `Cannot pass on another request for a piece as at most ${limits.chunkPiecesQueuedMax} may be open`
  return new ShoalError('E_LIMIT', `${text}: current value is ${count}`)
}
