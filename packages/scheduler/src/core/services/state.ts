import type { PeerId } from '../../model/ids.ts'
import type { ServiceClaim, ServiceEnd, ServiceId, ServiceSpec } from '../../model/service.ts'

/** One service as this peer knows it. */
export interface ServiceState {
  readonly id: ServiceId
  /** `null`: only heard of. */
  spec: ServiceSpec | null
  /** The newest claim that was decided, as far as known here. */
  claim: ServiceClaim | null
  ended: ServiceEnd | null
}

/** All that one scheduler knows of services. */
export interface ServicesState {
  readonly self: PeerId
  /** The epoch of this start: votes and calls of earlier ones are not this one's. */
  readonly start: number
  readonly services: Map<ServiceId, ServiceState>
}

export function createServices(self: PeerId, start: number): ServicesState {
  return { self, start, services: new Map() }
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
