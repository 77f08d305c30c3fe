import type { PeerId } from '../../model/ids.ts'
import type { Payload } from '../../model/payload.ts'
import type {
  Ballot,
  CallerId,
  JournalEntry,
  ServiceCall,
  ServiceClaim,
  ServiceEnd,
  ServiceId,
  ServiceOrder,
  ServiceReply,
  ServiceSnapshot,
  ServiceSpec,
} from '../../model/service.ts'
import type { Deque } from '../deque.ts'
import type { EventOf } from '../events.ts'

/** What this peer promised as a voter on what follows one claim. */
export interface VoteState {
  /** The claim that is followed. */
  readonly epoch: number
  readonly host: PeerId
  promised: Ballot
  accepted: { readonly ballot: Ballot; readonly next: ServiceClaim } | null
}

/** This peer's try to decide what follows the known claim. */
export interface Bid {
  readonly claim: ServiceClaim
  readonly end: ServiceEnd | null
  ballot: Ballot
  /** `null`: still preparing. */
  next: ServiceClaim | null
  readonly promises: Map<PeerId, VoteState['accepted']>
  readonly accepts: Set<PeerId>
  /** Voters that said they are another start: they never vote. */
  readonly restarted: Set<PeerId>
  /** The highest round seen. */
  round: number
  retryAt: number
  /** It could propose, and waits until somebody has a copy; not longer than this. */
  isWaiting: boolean
  readonly waitsUntil: number
}

/** A copy of a service's state that is kept here for whoever hosts it, or wants to. */
export interface Copy {
  readonly from: PeerId
  readonly number: number
  snapshot: ServiceSnapshot
  /** In order, behind the snapshot. */
  entries: JournalEntry[]
  /** The last call that is in it. */
  seq: number
  /** Entries that came before those in front of them. */
  readonly early: Map<number, JournalEntry>
}

/** A copy that another peer keeps for the service hosted here. */
export interface Kept {
  readonly number: number
  /** -1: not even installed. */
  acked: number
  /** The last call that was sent. */
  sent: number
  /** When something was sent or acknowledged. */
  heardAt: number
  /** It wants to be host itself. */
  isPaused: boolean
}

/** What the host remembers of one caller. */
export interface Session {
  /** The number of its call that is taken next. */
  next: number
  done: number
  readonly waiting: Map<number, ServiceCall>
  replies: { readonly seq: number; readonly reply: ServiceReply }[]
}

/** The instance of a service on this peer, or of one that it is about to take over. */
export interface Hosted {
  readonly spec: ServiceSpec
  instance: number
  /** The claim says that this peer is host. */
  isActing: boolean
  isOpen: boolean
  /** Others took this peer for dead and ended the service: its next claim says that it lives. */
  isDoubted: boolean
  /** Stopped, to be handed over: takes no more calls. */
  frozenUntil: number | null
  /** The claim whose follower was told to take over, and when last; and what that one has then. */
  handedOver: { readonly epoch: number; readonly isFirst: boolean; at: number; left: Copy } | null
  /** Peers whose calls came while it was stopped: they are told where to go. */
  readonly turnedAway: Set<PeerId>
  migration: Migration | null
  /** The last call that was taken. */
  seq: number
  /** Calls that are yet to be given to the instance, and those that it has. */
  queue: JournalEntry[]
  readonly running: Deque<JournalEntry>
  /** The last call that ended. */
  ran: number
  /** Replies of calls up to this one may have left. */
  released: number
  /** Calls up to this one came with the copy: their replies may have left before. */
  readonly inherited: number
  sessions: Map<CallerId, Session>
  snapshot: ServiceSnapshot
  /** Calls behind the snapshot, in order: what a new instance runs again, and a journal's copies hold. */
  entries: JournalEntry[]
  /** Replies that have not left, in order. */
  outbox: PendingReply[]
  readonly kept: Map<PeerId, Kept>
  /** Followers named in a claim that was proposed: it may be decided any time, so they must have all that leaves. */
  readonly proposed: Set<PeerId>
  nextCopy: number
  /** The snapshot that was asked for. */
  snapshotAt: number | null
  snapshotAskedAt: number
  /** Calls that the instance gets before the next snapshot, where replies wait for it. */
  window: number
  /** Deaths of its instances since it got any further. */
  deaths: number
  /** The last call that ever ended here. */
  reached: number
  /** When the instance was opened, or the last call ended. */
  quietSince: number
  callsRun: number
}

export interface PendingReply {
  readonly seq: number
  readonly at: number
  /** The caller was told that it takes too long. */
  isLate: boolean
  readonly caller: CallerId
  readonly reply: ServiceReply
}

export interface Migration {
  readonly to: PeerId
  readonly asker: PeerId
  readonly untilMs: number
}

/** A call of this peer that has no reply. */
export interface OpenCall {
  readonly no: number
  readonly request: number
  readonly method: string
  readonly args: Payload
  readonly via: readonly ServiceId[]
  readonly askedAt: number
  sentAt: number
  /** The epoch at which it was sent last; 0: never. */
  sentEpoch: number
}

/** One service as this peer knows it. */
export interface ServiceState {
  readonly id: ServiceId
  /** `null`: only heard of. */
  spec: ServiceSpec | null
  /** The newest claim that was decided, as far as known here. */
  claim: ServiceClaim | null
  ended: ServiceEnd | null
  /** The last claim that the end covers; 0 while there is none. */
  endedEpoch: number
  vote: VoteState | null
  bid: Bid | null
  hosted: Hosted | null
  /** This peer was told to be ready to host it. */
  isPrepared: boolean
  readonly copies: Map<PeerId, Copy>
  /** This peer wants to be host after this epoch: it acknowledges nothing more of it. */
  pausedAt: number
  /** Why the claim's host is not there, and since when. */
  hostGone: { readonly cause: EventOf<'peer-left'>['cause'] | 'unseen'; readonly at: number } | null
  /** When {@link tick} looks at this service again. */
  tickAt: number
  readonly calls: Map<number, OpenCall>
  nextCall: number
  /** Numbers of calls that are yet to be sent. */
  unsent: number[]
  readonly orders: Map<number, { readonly order: ServiceOrder; readonly askedAt: number }>
  /** When somebody here asked first for what nobody knows. */
  unknownSince: number
}

/** A service that waits for its name, or for its first instance. */
export interface Creation {
  readonly request: number
  readonly spec: ServiceSpec
  /** Members that have not said that the name is free; `null` when that is settled. */
  asked: Set<PeerId> | null
  askedAt: number
}

/** All that one scheduler knows of services. */
export interface ServicesState {
  readonly self: PeerId
  /** The epoch of this start: votes and calls of earlier ones are not this one's. */
  readonly start: number
  readonly caller: CallerId
  readonly services: Map<ServiceId, ServiceState>
  readonly creations: Map<ServiceId, Creation>
  /** Peers that gave this one up, and were not met again. */
  readonly fenced: Set<PeerId>
  /** Peers that said they go: nothing is given to them any more. */
  readonly leaving: Set<PeerId>
  /** Services with something to send at the end of this step. */
  readonly dirty: Set<ServiceState>
  /** Services to be looked at before this step ends. */
  readonly due: Set<ServiceState>
  readonly byInstance: Map<number, ServiceState>
  nextInstance: number
  isLeaving: boolean
}

export function createServices(self: PeerId, start: number): ServicesState {
  return {
    self,
    start,
    caller: `${self}@${start}` as CallerId,
    services: new Map(),
    creations: new Map(),
    fenced: new Set(),
    leaving: new Set(),
    dirty: new Set(),
    due: new Set(),
    byInstance: new Map(),
    nextInstance: 1,
    isLeaving: false,
  }
}

/** The service, noted when this is the first word of it. */
export function serviceOf(state: ServicesState, id: ServiceId): ServiceState {
  const known = state.services.get(id)
  if (known !== undefined) return known
  const service: ServiceState = {
    id,
    spec: null,
    claim: null,
    ended: null,
    endedEpoch: 0,
    vote: null,
    bid: null,
    hosted: null,
    isPrepared: false,
    copies: new Map(),
    pausedAt: 0,
    hostGone: null,
    tickAt: Number.POSITIVE_INFINITY,
    calls: new Map(),
    nextCall: 1,
    unsent: [],
    orders: new Map(),
    unknownSince: 0,
  }
  state.services.set(id, service)
  return service
}

/** The service that a name means: of several the one with the smallest id, the same on every peer. */
export function serviceNamed(state: ServicesState, name: string): ServiceState | null {
  let found: ServiceState | null = null
  for (const service of state.services.values()) {
    if (service.spec?.name !== name || service.claim === null || service.ended !== null) continue
    if (found === null || service.id < found.id) found = service
  }
  return found
}

/** Whether the claim means this start of this peer: an earlier one is dead, whatever the claim says. */
export function isThisStart(state: ServicesState, claim: ServiceClaim): boolean {
  return claim.voters.some((voter) => voter.peer === state.self && state.start <= voter.epoch)
}

/** Whether this start of this peer is the host. */
export function isHostHere(state: ServicesState, claim: ServiceClaim): boolean {
  return claim.host === state.self && isThisStart(state, claim)
}

/** The peer of a caller. */
export function peerOfCaller(caller: CallerId): PeerId {
  return caller.slice(0, caller.lastIndexOf('@')) as PeerId
}
