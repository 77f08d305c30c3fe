import {
  type Clock,
  createDetector,
  type DetectorAction,
  type DetectorOptions,
  forgetPeer,
  hearPeer,
  hintGone,
  type LeaveCause,
  linkLost,
  type PeerId,
  probeAnswered,
  tickDetector,
  tickEveryMs,
  type ViewEvent,
  watchPeer,
} from '@shoal/scheduler'
import type { Remote } from '../wire/incoming.ts'

export interface ViewOptions {
  readonly clock: Clock
  readonly detector: Partial<DetectorOptions>
  /** Sends heartbeats: to one peer, or to everybody. */
  readonly beat: (peer: PeerId | null) => void
  readonly ask: (helper: PeerId, peer: PeerId) => void
  readonly answer: (asker: PeerId, peer: PeerId, isAlive: boolean) => void
  readonly onEvent: (event: ViewEvent) => void
  /** The peer has to be fenced and its link closed; the view has forgotten it. */
  readonly onDead: (peer: PeerId) => void
}

/** Who is in the room, as this peer sees it: the detector, wired to links and a timer. */
export interface View {
  readonly tickMs: number
  joined(remote: Remote, isNew: boolean): void
  heard(peer: PeerId): void
  /** `isHungUp`: the other side closed it. */
  linkLost(peer: PeerId, isHungUp: boolean): void
  /** Signalling lost sight of it: a reason to ask around. */
  hinted(peer: PeerId): void
  left(peer: PeerId, cause: LeaveCause): void
  measured(peer: PeerId, sample: { readonly rttMs?: number; readonly bytesPerMs?: number }): void
  /** Somebody asks whether this peer reaches `peer`. */
  probe(asker: PeerId, peer: PeerId): void
  probed(helper: PeerId, peer: PeerId, isAlive: boolean): void
  rttMs(peer: PeerId): number
  tick(): void
}

interface Measured {
  rttMs: number
  bytesPerMs: number
  hasRtt: boolean
  told: string
}

interface Favour {
  readonly asker: PeerId
  readonly peer: PeerId
  readonly at: number
}

/** Before anything was measured: a slow home link. */
const defaultRttMs = 50
const defaultBytesPerMs = 5_000
/** Weight of a new sample. */
const smoothing = 0.25
/** Favours at the same time; more are answered with "no" at once. */
const favoursMax = 64

export function createView(options: ViewOptions): View {
  const { clock, onEvent } = options
  const detector = createDetector(clock.now(), options.detector)
  const measures = new Map<PeerId, Measured>()
  let favours: Favour[] = []

  function perform(actions: readonly DetectorAction[]): void {
    for (const action of actions) {
      if (action.type === 'beat') options.beat(null)
      else if (action.type === 'suspect') onEvent({ type: 'peer-suspected', peer: action.peer })
      else if (action.type === 'trust') onEvent({ type: 'peer-trusted', peer: action.peer })
      else if (action.type === 'ask') {
        for (const helper of action.helpers) options.ask(helper, action.peer)
      } else if (action.type === 'dead') {
        left(action.peer, 'dead')
        options.onDead(action.peer)
      }
      // After a pause of our own: links that others closed meanwhile tell, and are made again.
    }
  }

  function left(peer: PeerId, cause: LeaveCause): void {
    if (!detector.watched.has(peer)) return
    forgetPeer(detector, peer)
    measures.delete(peer)
    onEvent({ type: 'peer-left', peer, cause })
  }

  /** Answers those who asked for a peer, as soon as it is known; silence for one heartbeat is a "no". */
  function answerFavours(isDone: (favour: Favour) => boolean, isAlive: boolean): void {
    const done = favours.filter(isDone)
    if (done.length === 0) return
    favours = favours.filter((favour) => !done.includes(favour))
    for (const { asker, peer } of done) options.answer(asker, peer, isAlive)
  }

  return {
    tickMs: tickEveryMs(detector),
    joined(remote, isNew) {
      const actions = watchPeer(detector, remote.peer, clock.now())
      if (isNew) onEvent({ type: 'peer-joined', ...remote })
      perform(actions)
    },
    heard(peer) {
      perform(hearPeer(detector, peer, clock.now()))
      if (favours.length > 0) answerFavours((favour) => favour.peer === peer, true)
    },
    hinted: (peer) => perform(hintGone(detector, peer)),
    linkLost: (peer, isHungUp) => perform(linkLost(detector, peer, clock.now(), isHungUp)),
    left,
    measured(peer, sample) {
      if (!detector.watched.has(peer)) return
      const measure = measures.get(peer) ?? newMeasure()
      measures.set(peer, measure)
      if (sample.rttMs !== undefined) {
        measure.rttMs = measure.hasRtt ? smooth(measure.rttMs, sample.rttMs) : sample.rttMs
        measure.hasRtt = true
      }
      if (sample.bytesPerMs !== undefined) measure.bytesPerMs = smooth(measure.bytesPerMs, sample.bytesPerMs)
      // Told when it changed by a fifth or so: placement does not care for less.
      const told = `${coarse(measure.rttMs)}/${coarse(measure.bytesPerMs)}`
      if (told === measure.told) return
      measure.told = told
      onEvent({ type: 'link-measured', peer, rttMs: measure.rttMs, bytesPerMs: measure.bytesPerMs })
    },
    probe(asker, peer) {
      if (detector.watched.get(peer)?.isLinked !== true || favours.length >= favoursMax) {
        options.answer(asker, peer, false)
        return
      }
      favours.push({ asker, peer, at: clock.now() })
      options.beat(peer)
    },
    probed: (helper, peer, isAlive) => probeAnswered(detector, peer, helper, isAlive),
    rttMs: (peer) => measures.get(peer)?.rttMs ?? 0,
    tick() {
      const now = clock.now()
      perform(tickDetector(detector, now))
      answerFavours((favour) => now - favour.at >= detector.options.heartbeatMs, false)
    },
  }
}

function newMeasure(): Measured {
  return { rttMs: defaultRttMs, bytesPerMs: defaultBytesPerMs, hasRtt: false, told: '' }
}

function smooth(old: number, sample: number): number {
  return old + (sample - old) * smoothing
}

/** Steps of about a fifth. */
function coarse(value: number): number {
  return Math.round(Math.log(Math.max(value, 0.1)) / Math.log(1.2))
}
