import type { ServiceNotice } from '../core/effects.ts'
import type { Event } from '../core/events.ts'
import { type ServiceState, type ServicesState, serviceNamed } from '../core/services/state.ts'
import type { ServiceAnswer, ServiceRequest } from '../model/service.ts'
import type { Unsubscribe } from '../ports.ts'
import type { RuntimeServices, ServiceView } from './types.ts'

/** The part of a runtime that speaks of services. */
export interface ServiceDesk {
  readonly services: RuntimeServices
  /** The event with what was asked so far is on its way into the core: the next request opens another. */
  seal(): void
  answer(answers: readonly ServiceAnswer[]): void
  notify(notice: ServiceNotice): void
  left(): void
}

export function createServiceDesk(
  state: ServicesState,
  now: () => number,
  enqueue: (event: Event) => void,
): ServiceDesk {
  const open = new Map<number, (outcome: ServiceAnswer['outcome']) => void>()
  const listeners = new Set<(notice: ServiceNotice) => void>()
  const leaving = new Set<() => void>()
  let batch: ServiceRequest[] | null = null
  let nextRequest = 1
  /** What one turn asks for is one event. */
  const ask = (
    service: ServiceRequest['service'],
    action: ServiceRequest['action'],
    done: (outcome: ServiceAnswer['outcome']) => void,
  ): void => {
    const request = nextRequest++
    open.set(request, done)
    if (batch === null) {
      batch = []
      enqueue({ type: 'services-asked', at: now(), requests: batch })
    }
    batch.push({ request, service, action })
  }
  return {
    services: {
      create: (spec, done) => ask(spec.id, { type: 'create', spec }, done),
      call: (service, { method, args, via }, done) => ask(service, { type: 'call', method, args, via }, done),
      order: (service, order, done) => ask(service, order, done),
      lookup: (name) => {
        const service = serviceNamed(state, name)
        return service === null ? null : viewOf(service)
      },
      view: (id) => {
        const service = state.services.get(id)
        return service === undefined ? null : viewOf(service)
      },
      list: () =>
        [...state.services.values()].map((service) => viewOf(service)).filter((view) => view !== null),
      leave: (done) => {
        leaving.add(done)
        enqueue({ type: 'services-leaving', at: now() })
      },
      onNotice: (listener): Unsubscribe => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    seal: () => {
      batch = null
    },
    answer: (answers) => {
      for (const { request, outcome } of answers) {
        const done = open.get(request)
        open.delete(request)
        done?.(outcome)
      }
    },
    notify: (notice) => {
      for (const listener of [...listeners]) listener(notice)
    },
    left: () => {
      for (const done of leaving) done()
      leaving.clear()
    },
  }
}

function viewOf({ id, spec, claim, ended, hosted }: ServiceState): ServiceView | null {
  if (spec === null || claim === null || ended !== null) return null
  const { name, operation, durability } = spec
  const { host, epoch, follower } = claim
  const isHostedHere = hosted?.isActing === true
  const callsOpen = isHostedHere ? hosted.queue.length + hosted.running.size + hosted.outbox.length : 0
  const callsRun = isHostedHere ? hosted.callsRun : 0
  return { id, name, operation, durability, host, epoch, follower, isHostedHere, callsRun, callsOpen }
}
