import { type ErrorRecord, errorRecord } from '../../model/errors.ts'
import type { PeerId } from '../../model/ids.ts'
import type {
  ServiceCall,
  ServiceId,
  ServiceMessageOf,
  ServiceOrder,
  ServiceRequest,
} from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { armTick, say, touch } from './say.ts'
import type { OpenCall, ServiceState } from './state.ts'

/** Calls in one message. */
export const callsMax = 512

/** A call of this peer: kept until it is answered. */
export function addCall(
  ctx: StepContext,
  service: ServiceState,
  request: number,
  { method, args, via }: Extract<ServiceRequest['action'], { readonly type: 'call' }>,
): void {
  const { now } = ctx.state
  const error = endError(service)
  if (error !== null) {
    answer(ctx, [request], error)
    return
  }
  const no = service.nextCall++
  service.calls.set(no, { no, request, method, args, via, askedAt: now, sentAt: now, sentEpoch: 0 })
  service.unsent.push(no)
  expectAnswer(ctx, service)
  touch(ctx, service)
}

/** Something else that is asked of the host. */
export function addOrder(
  ctx: StepContext,
  service: ServiceState,
  request: number,
  order: ServiceOrder,
): void {
  const error = endError(service)
  if (error !== null && !(order.type === 'delete' && service.ended === 'deleted')) {
    answer(ctx, [request], error)
    return
  }
  service.orders.set(request, { order, askedAt: ctx.state.now })
  expectAnswer(ctx, service)
  sendOrders(ctx, service)
  settleOrders(ctx, service)
}

function expectAnswer(ctx: StepContext, service: ServiceState): void {
  const { now, config } = ctx.state
  if (service.claim === null && service.unknownSince === 0) {
    service.unknownSince = now
    askAround(ctx, service)
  }
  armTick(ctx.state, service, now + (service.claim === null ? config.serviceRetryMs : config.auditMs))
}

/** Members that know the service say who hosts it: a handle may be here before the documents are. */
function askAround(ctx: StepContext, service: ServiceState): void {
  for (const { id, role } of ctx.state.peers.values()) {
    if (role === 'member' && id !== ctx.state.self) say(ctx, id, service, { type: 'unknown' })
  }
}

/** Sends at the end of a step what this peer calls. */
export function flushCalls(ctx: StepContext, service: ServiceState): void {
  const { claim, unsent, calls } = service
  if (unsent.length === 0 || claim === null || service.ended !== null) return
  const { services, peers, now } = ctx.state
  if (!peers.has(claim.host)) return
  service.unsent = []
  const [open] = calls.keys()
  if (open === undefined) return
  const found: ServiceCall[] = []
  for (const no of unsent) {
    const call = calls.get(no)
    if (call === undefined) continue
    call.sentAt = now
    call.sentEpoch = claim.epoch
    found.push({ no, method: call.method, args: call.args, via: call.via })
  }
  for (let at = 0; at < found.length; at += callsMax) {
    const part = found.slice(at, at + callsMax)
    say(ctx, claim.host, service, { type: 'call', caller: services.caller, open, calls: part })
  }
}

export function onReplies(
  ctx: StepContext,
  service: ServiceState,
  { caller, replies }: ServiceMessageOf<'replies'>,
): void {
  if (caller !== ctx.state.services.caller) return
  const answers = []
  for (const { no, outcome } of replies) {
    const call = service.calls.get(no)
    if (call === undefined) continue
    service.calls.delete(no)
    answers.push({ request: call.request, outcome })
  }
  if (answers.length > 0) ctx.emit({ type: 'answer-requests', answers })
}

/** Another host: it gets all calls that have no reply. Where nothing outlives a host, those that it had fail. */
export function resendCalls(ctx: StepContext, service: ServiceState): void {
  const { claim, spec, calls } = service
  if (claim === null || calls.size === 0) return
  if (spec?.durability === 'none') {
    const text = `Cannot tell how the call of service "${service.id}" ended as its host was lost`
    const lost = [...calls.values()].filter(({ sentEpoch }) => sentEpoch > 0 && sentEpoch < claim.epoch)
    fail(ctx, service, lost, errorRecord('E_SERVICE_RESTARTED', text))
  }
  service.unsent = [...calls.keys()]
  touch(ctx, service)
}

/** The service is no more. */
export function failCalls(ctx: StepContext, service: ServiceState): void {
  const error = endError(service)
  if (error === null) return
  fail(ctx, service, [...service.calls.values()], error)
  const { creations } = ctx.state.services
  const creation = creations.get(service.id)
  creations.delete(service.id)
  if (creation !== undefined) answer(ctx, [creation.request], error)
}

/** Says again what nobody answered; gives up what nobody here knows, or whose host is out of reach for long. */
export function auditCalls(ctx: StepContext, service: ServiceState): void {
  const { now, config, peers } = ctx.state
  const { calls, orders, claim, id } = service
  if (calls.size === 0 && orders.size === 0) return
  const isLate = ({ askedAt }: { readonly askedAt: number }): boolean => now - askedAt >= config.serviceAwayMs
  const isGone = claim !== null && (!peers.has(claim.host) || service.hostGone !== null)
  // Others read it in the documents, or are told.
  const hasToAsk = isGone && ctx.state.role === 'contributor'
  const isSoon = orders.size > 0 || claim === null || hasToAsk
  armTick(ctx.state, service, now + (isSoon ? config.serviceRetryMs : config.auditMs))
  if (claim === null) {
    if (now - service.unknownSince < config.ownerUnseenMs) {
      askAround(ctx, service)
      return
    }
    const error = errorRecord('E_NO_SERVICE', `Cannot reach service "${id}" as nobody here knows it`)
    fail(ctx, service, [...calls.values()], error)
    failOrders(ctx, service, () => true, error)
    return
  }
  service.unknownSince = 0
  if (hasToAsk) askAround(ctx, service)
  if (isGone) {
    const text = `Cannot reach service "${id}" as its host has not answered for ${config.serviceAwayMs} ms: current value is ${claim.host}`
    const error = errorRecord('E_SERVICE_AWAY', text)
    fail(ctx, service, [...calls.values()].filter(isLate), error)
    failOrders(ctx, service, isLate, error)
    return
  }
  if (orders.size > 0) {
    const text = `Cannot change service "${id}" as its host has not done it for ${config.serviceAwayMs} ms, and may yet: current value is ${claim.host}`
    failOrders(ctx, service, isLate, errorRecord('E_SERVICE_AWAY', text))
    sendOrders(ctx, service)
  }
  if (service.unsent.length > 0) return
  service.unsent = [...calls.values()]
    .filter(({ sentAt }) => now - sentAt >= config.auditMs)
    .slice(0, callsMax)
    .map(({ no }) => no)
  if (service.unsent.length > 0) touch(ctx, service)
}

function sendOrders(ctx: StepContext, service: ServiceState): void {
  const { claim, orders } = service
  if (claim === null || service.ended !== null || !ctx.state.peers.has(claim.host)) return
  for (const { order } of orders.values()) say(ctx, claim.host, service, { type: 'order', order })
}

/** Orders are answered by what becomes of the service. */
export function settleOrders(ctx: StepContext, service: ServiceState): void {
  const { claim, ended, orders } = service
  const error = endError(service)
  for (const [request, { order }] of orders) {
    const isDone = order.type === 'delete' ? ended === 'deleted' : ended === null && claim?.host === order.to
    if (!isDone && error === null) continue
    orders.delete(request)
    if (isDone) ctx.emit({ type: 'answer-requests', answers: [{ request, outcome: { status: 'ok' } }] })
    else if (error !== null) answer(ctx, [request], error)
  }
}

export function onOrderFailed(
  ctx: StepContext,
  service: ServiceState,
  { order, error }: ServiceMessageOf<'order-failed'>,
): void {
  failOrders(ctx, service, (open) => isSame(open.order, order), error)
}

function isSame(left: ServiceOrder, right: ServiceOrder): boolean {
  return left.type === right.type && toOf(left) === toOf(right)
}

function toOf(order: ServiceOrder): PeerId | null {
  return order.type === 'migrate' ? order.to : null
}

function failOrders(
  ctx: StepContext,
  { orders }: ServiceState,
  matches: (open: { readonly order: ServiceOrder; readonly askedAt: number }) => boolean,
  error: ErrorRecord,
): void {
  const found = [...orders].filter(([, open]) => matches(open)).map(([request]) => request)
  for (const request of found) orders.delete(request)
  answer(ctx, found, error)
}

function fail(ctx: StepContext, service: ServiceState, calls: readonly OpenCall[], error: ErrorRecord): void {
  for (const { no } of calls) service.calls.delete(no)
  answer(
    ctx,
    calls.map(({ request }) => request),
    error,
  )
}

export function answer(ctx: StepContext, requests: readonly number[], error: ErrorRecord): void {
  if (requests.length === 0) return
  const answers = requests.map((request) => ({ request, outcome: { status: 'failed', error } }) as const)
  ctx.emit({ type: 'answer-requests', answers })
}

export function deletedError(id: ServiceId): ErrorRecord {
  return errorRecord('E_SERVICE_DELETED', `Cannot reach service "${id}" as it was deleted`)
}

/** What asking an ended service fails with. */
function endError({ id, ended }: ServiceState): ErrorRecord | null {
  if (ended === null) return null
  if (ended === 'deleted') return deletedError(id)
  if (ended === 'crashing')
    return errorRecord('E_SERVICE_CRASH_LOOP', `Cannot reach service "${id}" as its instances died in a row`)
  return errorRecord(
    'E_SERVICE_LOST',
    `Cannot reach service "${id}" as its state was lost with its host and follower`,
  )
}
