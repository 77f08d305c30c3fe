import { errorRecord } from '../../model/errors.ts'
import type { PeerId } from '../../model/ids.ts'
import type { ServiceClaim, ServiceId, ServiceMessageOf, ServiceSpec } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { answer, deletedError } from './caller.ts'
import { learnClaim } from './claims.ts'
import { closeHosted, createHosted } from './host.ts'
import { armTick, say, touch } from './say.ts'
import { type Creation, type ServiceState, serviceNamed, serviceOf } from './state.ts'
import { chooseVoters } from './voters.ts'

/** The user of this peer makes a service: first its name, then its instance, then the claim. */
export function create(ctx: StepContext, request: number, spec: ServiceSpec): void {
  const { state } = ctx
  const { id, name } = spec
  if (state.role !== 'member') {
    answer(
      ctx,
      [request],
      errorRecord('E_FORBIDDEN', 'Cannot host a service as this peer only lends processors'),
    )
    return
  }
  if (state.services.services.get(id)?.spec != null || state.services.creations.has(id)) {
    answer(ctx, [request], errorRecord('E_ID_REUSED', `Cannot make service "${id}" as there is one already`))
    return
  }
  const creation: Creation = { request, spec, asked: new Set(), askedAt: state.now }
  state.services.creations.set(id, creation)
  if (name !== null && holderOf(ctx, id, name) !== null) {
    refuse(ctx, creation)
    return
  }
  for (const peer of name === null ? [] : state.peers.values()) {
    if (peer.role === 'member' && peer.id !== state.self) creation.asked?.add(peer.id)
  }
  ask(ctx, creation)
  goOn(ctx, creation)
}

/** Asks members that have not said whether the name is free. */
export function ask(ctx: StepContext, creation: Creation): void {
  const { spec, asked } = creation
  if (spec.name === null || asked === null || asked.size === 0) return
  const service = serviceOf(ctx.state.services, spec.id)
  creation.askedAt = ctx.state.now
  for (const peer of asked) say(ctx, peer, service, { type: 'name', name: spec.name })
  armTick(ctx.state, service, ctx.state.now + ctx.state.config.serviceRetryMs)
}

function goOn(ctx: StepContext, creation: Creation): void {
  if (creation.asked === null || creation.asked.size > 0) return
  creation.asked = null
  const service = serviceOf(ctx.state.services, creation.spec.id)
  service.spec = creation.spec
  createHosted(ctx, service, creation.spec, null)
}

/** The constructor has run: from now on this peer is host. */
export function found(ctx: StepContext, service: ServiceState): void {
  const { self } = ctx.state
  const voters = chooseVoters(ctx.state, service, null)
  const claim: ServiceClaim = { epoch: 1, host: self, follower: null, voters, end: null }
  learnClaim(ctx, service, claim)
  touch(ctx, service)
}

/** Who has a name, or comes before `asker` with it: an earlier winner, else the smaller id. */
function holderOf(ctx: StepContext, asker: ServiceId, name: string): ServiceId | null {
  const { services } = ctx.state
  const winner = serviceNamed(services, name)
  if (winner !== null && winner.id !== asker) return winner.id
  for (const [id, { spec, asked }] of services.creations) {
    if (spec.name === name && id !== asker && (asked === null || id < asker)) return id
  }
  return null
}

export function onName(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { name }: ServiceMessageOf<'name'>,
): void {
  const holder = holderOf(ctx, service.id, name)
  if (holder === null) {
    for (const [id, creation] of ctx.state.services.creations) {
      if (creation.spec.name === name && id !== service.id) refuse(ctx, creation)
    }
  }
  say(ctx, from, service, { type: 'name-holder', name, holder })
}

export function onNameHolder(
  ctx: StepContext,
  from: PeerId,
  service: ServiceState,
  { holder }: ServiceMessageOf<'name-holder'>,
): void {
  const creation = ctx.state.services.creations.get(service.id)
  if (creation === undefined || creation.asked === null) return
  if (holder !== null) {
    refuse(ctx, creation)
    return
  }
  creation.asked.delete(from)
  goOn(ctx, creation)
}

/** A member that is gone has no say. */
export function forgetAsked(ctx: StepContext, peer: PeerId): void {
  for (const creation of [...ctx.state.services.creations.values()]) {
    if (creation.asked?.delete(peer) === true) goOn(ctx, creation)
  }
}

function refuse(ctx: StepContext, { request, spec }: Creation): void {
  const text = `Cannot name service "${spec.id}" as another one has the name: current value is ${spec.name}`
  drop(ctx, request, spec, errorRecord('E_NAME_TAKEN', text))
}

/**
 * Who asked for it wants it no more.
 * @returns `false`: nobody is making it, or others may have heard of it
 */
export function cancelCreation(ctx: StepContext, request: number, id: ServiceId): boolean {
  const { services } = ctx.state
  const creation = services.creations.get(id)
  if (creation === undefined || services.services.get(id)?.claim != null) return false
  drop(ctx, creation.request, creation.spec, deletedError(id))
  ctx.emit({ type: 'answer-requests', answers: [{ request, outcome: { status: 'ok' } }] })
  return true
}

/** Ends a creation that failed: nothing of it was told to anybody. */
export function drop(
  ctx: StepContext,
  request: number,
  spec: ServiceSpec,
  error: ReturnType<typeof errorRecord>,
): void {
  const { services } = ctx.state
  services.creations.delete(spec.id)
  const service = services.services.get(spec.id)
  if (service !== undefined) {
    closeHosted(ctx, service)
    services.services.delete(spec.id)
  }
  answer(ctx, [request], error)
}
