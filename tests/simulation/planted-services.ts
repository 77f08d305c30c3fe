import type {
  Message,
  Network,
  PeerId,
  RuntimeOptions,
  SchedulerState,
  ServiceMessage,
  ServiceState,
} from '@shoal/scheduler'
import type { ServiceWorldKind, SimMutation } from '@shoal/scheduler/testing'

/** A bug that the part which decides about services could have, planted from outside. */
export interface PlantedServiceBug {
  readonly name: string
  readonly kind: ServiceWorldKind
  /** What must be found, where that is more than anything at all. */
  readonly rule?: RegExp
  readonly mutate: SimMutation
}

/** Does something to a peer's state just before it hears a message about a service. */
function before(
  spoil: (state: SchedulerState, service: ServiceState, message: ServiceMessage, from: PeerId) => void,
): SimMutation {
  return (options) => {
    const { step } = options
    if (step === undefined) return options
    return {
      ...options,
      step: (state, event) => {
        if (event.type === 'message-received' && event.message.type === 'service') {
          const service = state.services.services.get(event.message.service)
          if (service !== undefined) spoil(state, service, event.message.body, event.from)
        }
        return step(state, event)
      },
    }
  }
}

/** Changes what a peer says about services. */
function saying(change: (body: ServiceMessage) => ServiceMessage): SimMutation {
  return (options) =>
    withNetwork(options, (network) => ({
      ...network,
      send: (to, message) =>
        network.send(to, message.type === 'service' ? { ...message, body: change(message.body) } : message),
    }))
}

function withNetwork(options: RuntimeOptions, wrap: (network: Network) => Network): RuntimeOptions {
  return options.network === null ? options : { ...options, network: wrap(options.network) }
}

/** The host takes what it has sent for acknowledged. */
const replyBeforeAck: SimMutation = (options) => {
  const { step } = options
  if (step === undefined) return options
  return {
    ...options,
    step: (state, event) => {
      for (const { hosted } of state.services.services.values()) {
        for (const kept of hosted?.kept.values() ?? [])
          if (kept.acked >= 0) kept.acked = Number.MAX_SAFE_INTEGER
      }
      return step(state, event)
    },
  }
}

/** A call that comes again is taken again. */
const noDedup = before((_state, { hosted }, message) => {
  if (message.type !== 'call') return
  const session = hosted?.sessions.get(message.caller)
  const first = message.calls[0]
  if (session !== undefined && first !== undefined) session.next = Math.min(session.next, first.no)
})

/** A peer acknowledges whatever a host sends, also one that it knows to be replaced. */
const oldEpochAccepted: SimMutation = (options) =>
  withNetwork(options, (network) => ({
    ...network,
    onMessage: (listener) =>
      network.onMessage((from, message) => {
        if (message.type === 'service' && message.body.type === 'append') {
          const { copy, entries, snapshot } = message.body
          const seq = entries.at(-1)?.seq ?? snapshot?.seq ?? 0
          network.send(from, { ...message, body: { type: 'appended', copy, seq } })
        }
        listener(from, message)
      }),
  }))

/** Who wants to be host asks the voters, and does not wait for what they say. */
const noVoters: SimMutation = (options) =>
  withNetwork(options, (network) => {
    let hear: (from: PeerId, message: Message) => void = () => undefined
    return {
      ...network,
      onMessage: (listener) => {
        hear = listener
        return network.onMessage(listener)
      },
      send: (to, message) => {
        network.send(to, message)
        const body = message.type === 'service' ? message.body : null
        if (message.type !== 'service' || (body?.type !== 'prepare' && body?.type !== 'accept')) return
        const { ballot } = body
        const { epoch } = body.claim
        const said: ServiceMessage =
          body.type === 'prepare'
            ? { type: 'promise', epoch, ballot, accepted: null }
            : { type: 'accepted', epoch, ballot }
        options.clock.defer(() => hear(to, { ...message, body: said }))
      },
    }
  })

/** The calls since the snapshot are not run again by who takes over. */
const lostLog: SimMutation = (options) => {
  const { step } = options
  if (step === undefined) return options
  return {
    ...options,
    step: (state, event) => {
      if (event.type === 'peer-left') {
        for (const { copies } of state.services.services.values()) {
          for (const copy of copies.values()) copy.entries = []
        }
      }
      return step(state, event)
    },
  }
}

/** A copy does not say which calls of whom are in it. */
const lostSessions = saying((body) => {
  if ((body.type !== 'install' && body.type !== 'append') || body.snapshot === null) return body
  return { ...body, snapshot: { ...body.snapshot, callers: [] } }
})

/** Every third message with calls for a follower's journal is lost on its way, and acknowledged all the same. */
const droppedFrames: SimMutation = (options) =>
  withNetwork(options, (network) => {
    let count = 0
    return {
      ...network,
      onMessage: (listener) =>
        network.onMessage((from, message) => {
          const body = message.type === 'service' ? message.body : null
          const last = body?.type === 'append' ? body.entries.at(-1) : undefined
          if (
            message.type !== 'service' ||
            body?.type !== 'append' ||
            last === undefined ||
            ++count % 3 > 0
          ) {
            listener(from, message)
            return
          }
          network.send(from, { ...message, body: { type: 'appended', copy: body.copy, seq: last.seq } })
        }),
    }
  })

/** A follower takes a message with calls that comes twice for further calls. */
const doubledFrames = before((_state, { copies }, message, from) => {
  const copy = copies.get(from)
  if (message.type !== 'append' || copy?.number !== message.copy) return
  const [first] = message.entries
  if (first === undefined || first.seq !== copy.seq + 1 - message.entries.length) return
  for (const entry of message.entries) copy.entries.push({ ...entry, seq: ++copy.seq })
})

/** Each must be found within 500 seeds. */
export const plantedServiceBugs: readonly PlantedServiceBug[] = [
  { name: 'a reply leaves before the follower has the call', kind: 'gentle', mutate: replyBeforeAck },
  { name: 'no call is known again', kind: 'gentle', mutate: noDedup },
  { name: 'a stale epoch is accepted', kind: 'chaos', mutate: oldEpochAccepted },
  { name: 'nobody waits for the voters', kind: 'chaos', mutate: noVoters },
  { name: 'the journal is lost on take-over', kind: 'gentle', mutate: lostLog },
  { name: 'a copy forgets the callers', kind: 'gentle', mutate: lostSessions },
  {
    name: 'a dropped message is acknowledged',
    kind: 'gentle',
    mutate: droppedFrames,
    rule: /^\[(lost|twice|fork)\]/,
  },
  {
    name: 'a doubled message counts twice',
    kind: 'gentle',
    mutate: doubledFrames,
    rule: /^\[(lost|twice|fork)\]/,
  },
]
