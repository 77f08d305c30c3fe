import type { PeerId } from '../model/ids.ts'

/** When silence becomes suspicion, and suspicion death. All in milliseconds. */
export interface DetectorOptions {
  /** Pause between heartbeats; default 500. */
  readonly heartbeatMs: number
  /** Silence before a peer is suspected and others are asked; default 1500. */
  readonly suspectMs: number
  /** Silence before a peer is dead; default 3000. */
  readonly deadMs: number
  /** Time that a peer has to come back after its link closed, although nobody reaches it; default 1000. */
  readonly reconnectMs: number
  /** Lateness of our own timer from which we doubt ourselves instead of others; default 250. */
  readonly lagMs: number
  /** A gap of our own timer after which we may be the one who was away; default 2000. */
  readonly pauseMs: number
}

export const defaultDetectorOptions: DetectorOptions = Object.freeze({
  heartbeatMs: 500,
  suspectMs: 1500,
  deadMs: 3000,
  reconnectMs: 1000,
  lagMs: 250,
  pauseMs: 2000,
})

/** Helpers asked about one suspect. */
const helpersMax = 2
/** Own lag makes us wait this many times longer at most. */
const patienceMax = 4

/** What is known of one peer's life. */
interface Watched {
  heardAt: number
  isLinked: boolean
  lostAt: number
  /** The other side closed the link: it is gone, or it lost the link as well and calls again. */
  isHungUp: boolean
  isSuspected: boolean
  /** Helpers that have not answered yet. */
  readonly asked: Set<PeerId>
  /** Helpers that could not reach it either. */
  deniedBy: number
  /** Somebody noticed that its process is gone, or its network; nothing was heard from it since. */
  isHinted: boolean
  /** A helper did reach it, and those asked again since then have not all denied that. */
  isVouched: boolean
  /** A helper reached it since they were asked last. */
  isReached: boolean
  askedAt: number
}

/** The detector's memory; changed in place by the functions below. */
export interface DetectorState {
  readonly options: DetectorOptions
  readonly watched: Map<PeerId, Watched>
  tickedAt: number
  beatAt: number
  /** 1 = our own timer is on time; up to 4 when it is late. */
  patience: number
}

/** What the shell has to do. */
export type DetectorAction =
  /** Send everybody a heartbeat. */
  | { readonly type: 'beat' }
  | { readonly type: 'suspect'; readonly peer: PeerId }
  /** Ask these peers whether they reach `peer`. */
  | { readonly type: 'ask'; readonly peer: PeerId; readonly helpers: readonly PeerId[] }
  | { readonly type: 'trust'; readonly peer: PeerId }
  | { readonly type: 'dead'; readonly peer: PeerId }
  /** This peer itself stood still: others may have declared it dead. */
  | { readonly type: 'paused'; readonly gapMs: number }

export function createDetector(at: number, options: Partial<DetectorOptions> = {}): DetectorState {
  return {
    options: { ...defaultDetectorOptions, ...options },
    watched: new Map(),
    tickedAt: at,
    beatAt: Number.NEGATIVE_INFINITY,
    patience: 1,
  }
}

/** How often {@link tickDetector} wants to be called, in milliseconds. */
export function tickEveryMs(state: DetectorState): number {
  return state.options.heartbeatMs / 2
}

/** Starts to watch a peer, or hears of it anew: it is alive and linked. */
export function watchPeer(state: DetectorState, peer: PeerId, at: number): readonly DetectorAction[] {
  const known = state.watched.get(peer)
  if (known === undefined) {
    state.watched.set(peer, {
      heardAt: at,
      isLinked: true,
      lostAt: at,
      isHungUp: false,
      isHinted: false,
      isSuspected: false,
      asked: new Set(),
      deniedBy: 0,
      isVouched: false,
      isReached: false,
      askedAt: at,
    })
    return []
  }
  known.isLinked = true
  return hearPeer(state, peer, at)
}

/** The peer left, or is dead: forget it. */
export function forgetPeer(state: DetectorState, peer: PeerId): void {
  state.watched.delete(peer)
  for (const one of state.watched.values()) one.asked.delete(peer)
}

/** Anything arrived from the peer. */
export function hearPeer(state: DetectorState, peer: PeerId, at: number): readonly DetectorAction[] {
  const one = state.watched.get(peer)
  if (one === undefined) return []
  one.heardAt = Math.max(one.heardAt, at)
  one.isHinted = false
  // Late words of a link that is gone do not bring it back.
  if (!one.isSuspected || !one.isLinked) return []
  clearSuspicion(one)
  return [{ type: 'trust', peer }]
}

/**
 * Signalling says that the peer's socket there closed: it lost its network or its process, or signalling alone.
 * Suspicion at once. It is dead once it has been silent for `suspectMs` and nobody who was asked reaches it.
 */
export function hintGone(state: DetectorState, peer: PeerId): readonly DetectorAction[] {
  const one = state.watched.get(peer)
  if (one === undefined) return []
  one.isHinted = true
  return one.isSuspected ? [] : suspect(state, peer, one)
}

/**
 * The peer's control link closed without a goodbye: suspicion at once.
 * @param isHungUp the other side closed it, so that nobody else has to confirm that it is gone
 */
export function linkLost(
  state: DetectorState,
  peer: PeerId,
  at: number,
  isHungUp: boolean,
): readonly DetectorAction[] {
  const one = state.watched.get(peer)
  if (one === undefined) return []
  one.isLinked = false
  one.lostAt = at
  one.isHungUp = isHungUp
  return one.isSuspected ? [] : suspect(state, peer, one)
}

/**
 * A helper's answer. When the link is closed and nobody who was asked reaches the peer, it has
 * `reconnectMs` to come back; else it has until `deadMs`, and twice that while somebody reaches it.
 */
export function probeAnswered(state: DetectorState, peer: PeerId, helper: PeerId, isAlive: boolean): void {
  const one = state.watched.get(peer)
  if (one === undefined || !one.isSuspected || !one.asked.delete(helper)) return
  if (isAlive) {
    one.isVouched = true
    one.isReached = true
    return
  }
  one.deniedBy++
  if (one.asked.size === 0 && !one.isReached) one.isVouched = false
}

/** Looks at the clock: call it every {@link tickEveryMs}. */
export function tickDetector(state: DetectorState, at: number): readonly DetectorAction[] {
  const { options } = state
  const gapMs = at - state.tickedAt
  const lateMs = gapMs - tickEveryMs(state)
  state.tickedAt = at
  if (gapMs > options.pauseMs) return [...resume(state, at), { type: 'paused', gapMs }, ...beat(state, at)]
  state.patience =
    lateMs > options.lagMs
      ? Math.min(patienceMax, Math.max(state.patience, 1 + lateMs / options.lagMs))
      : Math.max(1, state.patience * 0.8)
  const actions: DetectorAction[] = [...beat(state, at)]
  for (const [peer, one] of state.watched) {
    const silentMs = at - one.heardAt
    if (!one.isSuspected && silentMs >= options.suspectMs * state.patience)
      actions.push(...suspect(state, peer, one))
    if (one.isSuspected && one.isVouched) actions.push(...askAgain(state, peer, one))
    const isSilent = one.isHinted && silentMs >= options.suspectMs * state.patience
    const isGone = isDenied(one) && (one.isLinked ? isSilent : at - one.lostAt >= options.reconnectMs)
    if (one.isSuspected && (isGone || silentMs >= deadlineMs(state, one)))
      actions.push({ type: 'dead', peer })
  }
  return actions
}

/** Whoever was reached by others gets twice the time: the fault may be on the way between us. */
function deadlineMs(state: DetectorState, one: Watched): number {
  return state.options.deadMs * state.patience * (one.isVouched ? 2 : 1)
}

/** Silence while we stood still says nothing of others: everybody starts afresh. */
function resume(state: DetectorState, at: number): readonly DetectorAction[] {
  state.patience = 1
  for (const one of state.watched.values()) one.heardAt = at
  return []
}

function beat(state: DetectorState, at: number): readonly DetectorAction[] {
  // A tick may come a little early or late; half a tick of slack keeps every second one a beat.
  if (at - state.beatAt < state.options.heartbeatMs - tickEveryMs(state) / 2) return []
  state.beatAt = at
  return [{ type: 'beat' }]
}

function suspect(state: DetectorState, peer: PeerId, one: Watched): readonly DetectorAction[] {
  clearSuspicion(one)
  one.isSuspected = true
  return [{ type: 'suspect', peer }, ...ask(state, peer, one)]
}

/** What a helper heard may have been the peer's last words: a vouch holds for `reconnectMs`, then they are asked again. */
function askAgain(state: DetectorState, peer: PeerId, one: Watched): readonly DetectorAction[] {
  const isDue = one.asked.size === 0 && state.tickedAt - one.askedAt >= state.options.reconnectMs
  return isDue ? ask(state, peer, one) : []
}

function ask(state: DetectorState, peer: PeerId, one: Watched): readonly DetectorAction[] {
  const helpers = helpersFor(state, peer)
  for (const helper of helpers) one.asked.add(helper)
  one.askedAt = state.tickedAt
  one.deniedBy = 0
  one.isReached = false
  if (helpers.length === 0) one.isVouched = false
  return helpers.length === 0 ? [] : [{ type: 'ask', peer, helpers }]
}

/** The peers heard last: the most likely to answer. */
function helpersFor(state: DetectorState, peer: PeerId): readonly PeerId[] {
  return [...state.watched]
    .filter(([id, one]) => id !== peer && one.isLinked && !one.isSuspected)
    .sort(([, left], [, right]) => right.heardAt - left.heardAt)
    .slice(0, helpersMax)
    .map(([id]) => id)
}

function isDenied(one: Watched): boolean {
  const isMissed = one.deniedBy > 0 || (!one.isLinked && one.isHungUp)
  return one.asked.size === 0 && isMissed && !one.isVouched
}

function clearSuspicion(one: Watched): void {
  one.isSuspected = false
  one.asked.clear()
  one.deniedBy = 0
  one.isVouched = false
  one.isReached = false
}
