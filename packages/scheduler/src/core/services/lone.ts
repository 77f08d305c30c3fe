import type {
  CallerId,
  JournalEntry,
  ServiceCall,
  ServiceMessageOf,
  ServiceNews,
  ServiceReply,
  ServiceRequest,
  ServiceRun,
} from '../../model/service.ts'
import type { Effect } from '../effects.ts'
import type { Event, EventOf } from '../events.ts'
import type { SchedulerState } from '../state.ts'
import { callsMax } from './caller.ts'
import { countRun, messageMax } from './host.ts'
import { armTick } from './say.ts'
import { type Hosted, peerOfCaller, type ServiceState } from './state.ts'

/*
 * Theory of operation. As in `core/lone.ts`: of a call whose service keeps nothing elsewhere (durability `none`) most
 * find nothing to wait for and nothing else to decide. Its four steps (asked, arrived, ran, answered) are written out
 * here. Each looks first and changes nothing until it is sure that the long way would come to the same state and the
 * same effects; else it gives `null`. A test holds both ways against each other.
 */

/** The effects of an event that concerns calls of one service alone; `null`: it has to go the long way. */
export function stepLoneCalls(state: SchedulerState, event: Event): Effect[] | null {
  switch (event.type) {
    case 'services-asked':
      return isQuiet(state) ? ask(state, event.requests) : null
    case 'services-told':
      return isQuiet(state) ? end(state, event.news) : null
    case 'message-received':
      return event.message.type === 'service' && isQuiet(state) ? hear(state, event) : null
    default:
      return null
  }
}

/** No timer is due, no service waits for a step. */
function isQuiet({ timers, now, services }: SchedulerState): boolean {
  return timers.nextAt > now && services.dirty.size === 0 && services.due.size === 0 && !services.isLeaving
}

/** Calls of this peer, to a host in reach. */
function ask(state: SchedulerState, requests: readonly ServiceRequest[]): Effect[] | null {
  const { services, peers, now, self } = state
  const service = requests[0] === undefined ? undefined : services.services.get(requests[0].service)
  if (service === undefined || requests.length > callsMax) return null
  const { claim } = service
  if (claim === null || service.ended !== null || service.hosted !== null || claim.host === self) return null
  if (!peers.has(claim.host) || service.unsent.length > 0) return null
  for (const one of requests) if (one.service !== service.id || one.action.type !== 'call') return null

  const calls: ServiceCall[] = []
  for (const { request, action } of requests) {
    if (action.type !== 'call') continue
    const { method, args, via } = action
    const no = service.nextCall++
    const open = { no, request, method, args, via, askedAt: now, sentAt: now, sentEpoch: claim.epoch }
    service.calls.set(no, open)
    calls.push({ no, method, args, via })
  }
  armTick(state, service, now + state.config.auditMs)
  const [open = 0] = service.calls.keys()
  const body = { type: 'call', caller: services.caller, open, calls } as const
  return [{ type: 'send', to: claim.host, message: { type: 'service', service: service.id, body } }]
}

function hear(state: SchedulerState, { from, message }: EventOf<'message-received'>): Effect[] | null {
  const peer = state.peers.get(from)
  if (peer === undefined || message.type !== 'service') return null
  const service = state.services.services.get(message.service)
  if (service === undefined) return null
  const { body } = message
  if (body.type === 'replies') return peer.role === 'member' ? take(state, service, body) : null
  if (body.type !== 'call' || peerOfCaller(body.caller) !== from) return null
  const hosted = loneHost(state, service)
  return hosted === null ? null : run(service, hosted, body)
}

/** The instance, when what it answers leaves at once, and nothing waits. */
function loneHost({ services }: SchedulerState, service: ServiceState): Hosted | null {
  const { hosted, claim } = service
  if (hosted === null || !hosted.isActing || !hosted.isOpen || hosted.frozenUntil !== null) return null
  if (hosted.spec.durability !== 'none' || claim === null || service.unsent.length > 0) return null
  if (hosted.queue.length > 0 || hosted.outbox.length > 0 || hosted.entries.length > 0) return null
  if (hosted.ran !== hosted.released || services.creations.has(service.id)) return null
  return hosted
}

/** A caller's next calls: to the instance. */
function run(
  service: ServiceState,
  hosted: Hosted,
  { caller, open, calls }: ServiceMessageOf<'call'>,
): Effect[] | null {
  const session = hosted.sessions.get(caller)
  if (session === undefined || session.waiting.size > 0 || calls.length === 0 || open > session.next)
    return null
  for (let at = 0; at < calls.length; at++) {
    const { no, via, method } = calls[at] as ServiceCall
    if (no !== session.next + at || method === '' || via.includes(service.id)) return null
  }

  if (session.replies.some(({ reply }) => reply.no < open)) {
    session.replies = session.replies.filter(({ reply }) => reply.no >= open)
  }
  const runs: ServiceRun[] = []
  for (const { no, method, args, via } of calls) {
    const entry: JournalEntry = { seq: ++hosted.seq, caller, no, method, args, via }
    hosted.running.push(entry)
    runs.push({ seq: entry.seq, caller, method, args, via })
  }
  session.next += calls.length
  return [{ type: 'run-service', instance: hosted.instance, calls: runs }]
}

/** Calls of one caller that ended: their answers leave. */
function end(state: SchedulerState, news: readonly ServiceNews[]): Effect[] | null {
  const [one] = news
  if (one?.type !== 'ran' || news.length > 1 || one.ended.length > messageMax) return null
  const service = state.services.byInstance.get(one.instance)
  const hosted = service === undefined ? null : loneHost(state, service)
  if (service === undefined || hosted?.instance !== one.instance) return null
  const caller = callerOf(hosted, one.ended)
  const session = caller === null ? undefined : hosted.sessions.get(caller)
  if (caller === null || session === undefined) return null
  const to = peerOfCaller(caller)
  if (to === state.self) return null

  const replies: ServiceReply[] = []
  for (const { seq, outcome } of one.ended) {
    const { no } = hosted.running.shift() as JournalEntry
    countRun(state, hosted, seq)
    hosted.ran = seq
    session.done = Math.max(session.done, no)
    const reply = { no, outcome }
    session.replies.push({ seq, reply })
    replies.push(reply)
  }
  hosted.released = hosted.ran
  armTick(state, service, state.now + state.config.serviceAwayMs)
  const body = { type: 'replies', caller, replies } as const
  return [{ type: 'send', to, message: { type: 'service', service: service.id, body } }]
}

/** The one caller of those calls, when they are the next ones, not told before; else `null`. */
function callerOf(
  { running, released }: Hosted,
  ended: Extract<ServiceNews, { readonly type: 'ran' }>['ended'],
): CallerId | null {
  const caller = running.peek()?.caller ?? null
  if (ended.length === 0 || ended.length > running.size) return null
  let at = 0
  for (const entry of running) {
    const one = ended[at++]
    if (one === undefined) break
    if (entry.seq !== one.seq || entry.caller !== caller || entry.seq <= released || entry.method === '')
      return null
  }
  return caller
}

/** Answers: whoever asked gets them. */
function take(
  { services }: SchedulerState,
  service: ServiceState,
  { caller, replies }: ServiceMessageOf<'replies'>,
): Effect[] {
  if (caller !== services.caller) return []
  const answers = []
  for (const { no, outcome } of replies) {
    const call = service.calls.get(no)
    if (call === undefined) continue
    service.calls.delete(no)
    answers.push({ request: call.request, outcome })
  }
  return answers.length > 0 ? [{ type: 'answer-requests', answers }] : []
}
