import type { LeaveCause } from '../../ports.ts'
import type { SimLoop } from './clock.ts'
import type { Endpoint, Session, SimNetwork } from './network.ts'
import type { SimRng } from './rng.ts'

/** When silence becomes suspicion and death, and how often peers look. */
export const membershipTimes = { tickMs: 250, suspectMs: 1500, deadMs: 3000 } as const

/**
 * Handshakes, heartbeats and fencing on virtual time. Heartbeats are not sent one by one: at each tick
 * an end has heard the other when the path from there is open.
 */
export interface SimMembership {
  /** The endpoint says goodbye to everybody who can hear it. */
  leave(endpoint: Endpoint): void
  stop(): void
}

export function createSimMembership(
  size: number,
  loop: SimLoop,
  rng: SimRng,
  net: SimNetwork,
  killedMs: number = membershipTimes.deadMs,
): SimMembership {
  /** `observer * size + subject`: the highest epoch of the subject that the observer declared dead. */
  const fencedEpochs: number[] = Array.from({ length: size * size }, () => -1)
  /** `observer * size + subject`: the session by which the observer has the subject in its view. */
  const views: (Session | null)[] = Array.from({ length: size * size }, () => null)
  const wasAsleep: boolean[] = Array.from({ length: size }, () => false)
  let isStopped = false

  const canHear = (from: Endpoint, to: Endpoint): boolean =>
    from.gate.state === 'running' &&
    !from.hasLeft &&
    net.endpoint(from.index) === from &&
    !net.isCut(from.index, to.index) &&
    !net.isClogged(from.index, to.index)

  /** Declares the other side of a session gone, at one end. */
  const close = (session: Session, end: 0 | 1, cause: LeaveCause): void => {
    if (session.isClosed[end]) return
    session.isClosed[end] = true
    const observer = session.ends[end]
    const subject = session.ends[1 - end] as Endpoint
    const key = observer.index * size + subject.index
    fencedEpochs[key] = Math.max(fencedEpochs[key] ?? -1, subject.epoch)
    if (!session.isInView[end]) return
    session.isInView[end] = false
    views[key] = null
    net.tell(observer, { type: 'peer-left', peer: subject.id, cause })
  }

  const join = (session: Session, end: 0 | 1): void => {
    const observer = session.ends[end]
    const subject = session.ends[1 - end] as Endpoint
    if (session.isClosed[end] || net.session(observer.index, subject.index) !== session) return
    const key = observer.index * size + subject.index
    const former = views[key]
    if (former?.ends.includes(observer)) {
      // A process that started again replaces the former one in the view, by its higher epoch; the
      // replicas' link to the former one is gone all the same.
      const formerEnd = former.ends[0] === observer ? 0 : 1
      former.isClosed[formerEnd] = true
      former.isInView[formerEnd] = false
      for (const listener of [...observer.sinks.member]) listener(subject.id, false)
    }
    views[key] = session
    session.isInView[end] = true
    session.heardAt[end] = loop.now()
    net.tell(observer, { type: 'peer-joined', peer: subject.id, epoch: subject.epoch, role: subject.role })
    const rttMs = 2 * (net.conditions.delayMinMs + net.conditions.delayMeanMs)
    net.tell(observer, { type: 'link-measured', peer: subject.id, rttMs, bytesPerMs: 1000 })
  }

  const handshake = (left: Endpoint, right: Endpoint): void => {
    for (const [subject, observer] of [
      [left, right],
      [right, left],
    ] as const) {
      const fenced = fencedEpochs[observer.index * size + subject.index] ?? -1
      // A peer that was declared dead says hello again under a higher epoch, without a restart.
      if (subject.epoch <= fenced) subject.epoch = fenced + 1
    }
    const session = net.open(left, right)
    for (const end of [0, 1] as const) {
      loop.at(loop.now() + rng.between(1, 60), session.ends[end].gate, () => join(session, end))
    }
  }

  const observe = (observerIndex: number, subjectIndex: number): void => {
    const session = views[observerIndex * size + subjectIndex]
    if (!session) return
    const end = session.ends[0].index === observerIndex ? 0 : 1
    const observer = session.ends[end]
    const subject = session.ends[1 - end] as Endpoint
    if (net.endpoint(observerIndex) !== observer) views[observerIndex * size + subjectIndex] = null
    if (net.endpoint(observerIndex) !== observer || observer.gate.state !== 'running' || observer.hasLeft)
      return
    if (wasAsleep[observerIndex]) session.heardAt[end] = loop.now()
    const hears = canHear(subject, observer)
    if (hears && session.isClosed[1 - end]) {
      close(session, end, 'fenced')
      return
    }
    if (hears) session.heardAt[end] = loop.now()
    const silentMs = loop.now() - session.heardAt[end]
    const deadMs = subject.gate.state === 'dead' ? killedMs : membershipTimes.deadMs
    if (silentMs >= deadMs) close(session, end, 'dead')
    else if (silentMs >= membershipTimes.suspectMs !== session.isSuspected[end]) {
      session.isSuspected[end] = !session.isSuspected[end]
      const type = session.isSuspected[end] ? 'peer-suspected' : 'peer-trusted'
      net.tell(observer, { type, peer: subject.id })
    }
  }

  const tick = (): void => {
    if (isStopped) return
    for (let left = 0; left < size; left++) {
      for (let right = left + 1; right < size; right++) {
        observe(left, right)
        observe(right, left)
        const session = net.session(left, right)
        const [a, b] = [net.endpoint(left), net.endpoint(right)]
        if (a === null || b === null || (a.role === 'contributor' && b.role === 'contributor')) continue
        const isFresh = session !== null && session.ends[0] === a && session.ends[1] === b
        const isAlive = isFresh && !(session.isClosed[0] && session.isClosed[1])
        if (!isAlive && canHear(a, b) && canHear(b, a) && rng.chance(0.6)) handshake(a, b)
      }
    }
    for (let index = 0; index < size; index++) wasAsleep[index] = net.endpoint(index)?.gate.state === 'paused'
    loop.at(loop.now() + membershipTimes.tickMs, null, tick)
  }
  loop.at(0, null, tick)

  return {
    leave(endpoint) {
      for (let other = 0; other < size; other++) {
        const session = other === endpoint.index ? null : net.session(endpoint.index, other)
        const end = session?.ends.indexOf(endpoint) ?? -1
        if (!session || end < 0) continue
        const far = (1 - end) as 0 | 1
        const subject = session.ends[far]
        if (net.isCut(endpoint.index, subject.index)) continue
        loop.at(loop.now() + net.delayMs(endpoint.index, subject.index), subject.gate, () =>
          close(session, far, 'left'),
        )
      }
      endpoint.hasLeft = true
    },
    stop() {
      isStopped = true
    },
  }
}
