import type { ErrorRecord } from './errors.ts'
import type { OperationHash, PeerId } from './ids.ts'
import type { Payload } from './payload.ts'

/** Identity of a service: made by its creator, never used twice. */
export type ServiceId = string & { readonly __brand: 'ServiceId' }
/** One start of one peer as a caller: `<peer>@<its epoch at that start>`. Its calls are numbered from 1 for each service. */
export type CallerId = string & { readonly __brand: 'CallerId' }

/**
 * What outlives the host. `none`: nothing, the service starts anew. `snapshot`: the follower gets the state after
 * calls. `journal`: the follower gets the calls, and runs them again when it takes over.
 */
export type Durability = 'none' | 'snapshot' | 'journal'
/**
 * Whether one of two last voters may go on alone. `strict`: never, so that a partition cannot fork the state;
 * `available`: yes.
 */
export type Consistency = 'available' | 'strict'

/** What a service is: everything that another peer needs to host it. Never changes. */
export interface ServiceSpec {
  readonly id: ServiceId
  readonly name: string | null
  /** The class, as a module. */
  readonly operation: OperationHash
  /** The packed or live array of the constructor's arguments. */
  readonly args: Payload
  readonly durability: Durability
  readonly consistency: Consistency
  /** Calls between two snapshots of a journal; at least 1. */
  readonly every: number
}

/** A peer that may vote, and the highest epoch at which its start is still the one that was meant. */
export interface Voter {
  readonly peer: PeerId
  readonly epoch: number
}

/** Why a service is no more. `crashing`: its instances died again and again. */
export type ServiceEnd = 'deleted' | 'lost' | 'crashing'

/** Who hosts a service since `epoch`, who holds its state besides, and who decides what follows. */
export interface ServiceClaim {
  readonly epoch: number
  readonly host: PeerId
  /** `null`: nobody; nothing outlives the host. */
  readonly follower: PeerId | null
  readonly voters: readonly Voter[]
  /** Not `null`: this is the end of the service, and `host` is who decided it. Never a record: `service-ended` is. */
  readonly end: ServiceEnd | null
}

/** Orders the attempts to decide one epoch. */
export interface Ballot {
  readonly round: number
  readonly peer: PeerId
}

/** How a call ended. */
export type CallOutcome =
  | { readonly status: 'done'; readonly value: Payload }
  | { readonly status: 'failed'; readonly error: ErrorRecord }

/** One call on its way to the host. */
export interface ServiceCall {
  readonly no: number
  readonly method: string
  readonly args: Payload
  /** Services in whose methods this call was made, outermost first: calling one of them again would wait for ever. */
  readonly via: readonly ServiceId[]
}

export interface ServiceReply {
  readonly no: number
  readonly outcome: CallOutcome
}

/** One call in the order in which the host runs them. */
export interface JournalEntry {
  readonly seq: number
  readonly caller: CallerId
  readonly no: number
  readonly method: string
  readonly args: Payload
  /** As of the call: what the method calls in turn is made via these, and via its own service. */
  readonly via: readonly ServiceId[]
}

/** What the host remembers of one caller, so that no call is applied twice and no reply gets lost. */
export interface CallerRecord {
  readonly caller: CallerId
  /** Its calls up to this one are in the state. */
  readonly done: number
  /** Replies that it has not acknowledged. */
  readonly replies: readonly ServiceReply[]
}

/** The state after call `seq`. */
export interface ServiceSnapshot {
  readonly seq: number
  /** `null`: as the constructor makes it. */
  readonly state: Payload | null
  readonly callers: readonly CallerRecord[]
}

/** What a user can ask of a service besides calls. Asked again until answered. */
export type ServiceOrder =
  | { readonly type: 'delete' }
  /** Let this member host it. */
  | { readonly type: 'migrate'; readonly to: PeerId }

/** What schedulers say about one service. Any may be lost, doubled, delayed or reordered. */
export type ServiceMessage =
  /** Caller to host: run these, in the order of their numbers. */
  | {
      readonly type: 'call'
      readonly caller: CallerId
      /** Every call below this has its reply. */
      readonly open: number
      readonly calls: readonly ServiceCall[]
    }
  /** Host to caller. */
  | { readonly type: 'replies'; readonly caller: CallerId; readonly replies: readonly ServiceReply[] }
  /** Anybody to host. */
  | { readonly type: 'order'; readonly order: ServiceOrder }
  /** Host to whoever ordered: it cannot be done. */
  | { readonly type: 'order-failed'; readonly order: ServiceOrder; readonly error: ErrorRecord }
  /** Host, or whoever wants to be: keep this copy. Replaces what the sender sent before. */
  | {
      readonly type: 'install'
      readonly spec: ServiceSpec
      /** Numbers the sender's copies. */
      readonly copy: number
      readonly snapshot: ServiceSnapshot
      readonly entries: readonly JournalEntry[]
    }
  /** Host to follower: add these; a snapshot replaces all up to its `seq`. */
  | {
      readonly type: 'append'
      readonly epoch: number
      readonly copy: number
      readonly snapshot: ServiceSnapshot | null
      readonly entries: readonly JournalEntry[]
    }
  /** Follower to host: I have all up to `seq`. */
  | { readonly type: 'appended'; readonly copy: number; readonly seq: number }
  /** Follower to host: I have no such copy (`missing`), or want to be host myself (`paused`). */
  | { readonly type: 'append-refused'; readonly copy: number; readonly reason: 'missing' | 'paused' }
  /** Who wants to decide what follows `claim`, to its voters. */
  | { readonly type: 'prepare'; readonly claim: ServiceClaim; readonly ballot: Ballot }
  | {
      readonly type: 'promise'
      readonly epoch: number
      readonly ballot: Ballot
      /** What this voter accepted before. */
      readonly accepted: { readonly ballot: Ballot; readonly next: ServiceClaim } | null
    }
  | {
      readonly type: 'accept'
      readonly claim: ServiceClaim
      readonly ballot: Ballot
      readonly next: ServiceClaim
    }
  | { readonly type: 'accepted'; readonly epoch: number; readonly ballot: Ballot }
  /** Voter: I promised a higher ballot, or am another start than the one that may vote. */
  | {
      readonly type: 'vote-refused'
      readonly epoch: number
      readonly ballot: Ballot
      readonly reason: 'promised' | 'restarted'
      readonly promised: Ballot | null
    }
  /** Anybody to who seems not to know: the newest claim known here. */
  | { readonly type: 'claimed'; readonly claim: ServiceClaim }
  | { readonly type: 'ended'; readonly epoch: number; readonly reason: ServiceEnd }
  /** Host to follower: I stopped; take over. */
  | {
      readonly type: 'hand-over'
      readonly claim: ServiceClaim
      /** You have my ballot, the lowest: no need to ask for promises. */
      readonly isFirst: boolean
      /** I go: keep nothing with me. Else I keep what you have up to call `seq`, as copy 0: name me your follower. */
      readonly isLeaving: boolean
      readonly seq: number
    }
  /** Creator to members: is this name free? */
  | { readonly type: 'name'; readonly name: string }
  /** `holder`: the service that has it, or comes first; `null`: free as far as known here. */
  | { readonly type: 'name-holder'; readonly name: string; readonly holder: ServiceId | null }
  /** To a peer that seems to host it: nothing is known of it there. */
  | { readonly type: 'unknown' }

export type ServiceMessageOf<T extends ServiceMessage['type']> = Extract<ServiceMessage, { readonly type: T }>

/** One call handed to the instance that runs here. */
export interface ServiceRun {
  readonly seq: number
  readonly caller: CallerId
  readonly method: string
  readonly args: Payload
  readonly via: readonly ServiceId[]
}

/** What the port that hosts services tells. `instance` is the number that `open` was given. */
export type ServiceNews =
  /** The constructor has run and the state is in, or why not. Exactly one for each `open`. */
  | { readonly type: 'opened'; readonly instance: number; readonly error: ErrorRecord | null }
  /** Calls ended, in order. */
  | {
      readonly type: 'ran'
      readonly instance: number
      readonly ended: readonly { readonly seq: number; readonly outcome: CallOutcome }[]
    }
  /** The answer to `snapshot`: the state after call `seq` and before the next. */
  | {
      readonly type: 'snapshot'
      readonly instance: number
      readonly seq: number
      readonly state: Payload | null
      readonly error: ErrorRecord | null
    }
  /** Its worker died: what it had is gone. Nothing more comes of this instance. */
  | { readonly type: 'died'; readonly instance: number; readonly error: ErrorRecord }

/** What the user of this peer asks. Each is answered once, by its number. */
export interface ServiceRequest {
  readonly request: number
  readonly service: ServiceId
  readonly action:
    | { readonly type: 'create'; readonly spec: ServiceSpec }
    | {
        readonly type: 'call'
        readonly method: string
        readonly args: Payload
        readonly via: readonly ServiceId[]
      }
    | ServiceOrder
}

/** A request's answer; `value` only for calls. */
export interface ServiceAnswer {
  readonly request: number
  readonly outcome: CallOutcome | { readonly status: 'ok' }
}
