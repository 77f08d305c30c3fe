import type { Clock, ServiceId } from '@shoal/scheduler'

/** How long after it was wanted a worker is started that nobody needs yet, in milliseconds. */
export const spareAfterMs = 150

/** What waits for services that may have to be opened soon: the last so many, oldest first. */
export interface Spares<T> {
  /** Starts one in a while: when a service has just moved, those who move others need the processor more. */
  plan(service: ServiceId, start: () => T): void
  /** The one that has started, which is no spare any more; `undefined` when there is none yet. */
  take(service: ServiceId): T | undefined
  /** It is not wanted any more. */
  drop(service: ServiceId): void
  dropAll(): void
  /** It is no more. */
  forget(spare: T): void
}

interface Spare<T> {
  started: T | undefined
  readonly cancel: () => void
}

/** @param end ends one that was started and is not needed */
export function createSpares<T>(clock: Clock, max: number, end: (spare: T) => void): Spares<T> {
  const spares = new Map<ServiceId, Spare<T>>()
  const take = (service: ServiceId): T | undefined => {
    const spare = spares.get(service)
    spares.delete(service)
    spare?.cancel()
    return spare?.started
  }
  const drop = (service: ServiceId): void => {
    const started = take(service)
    if (started !== undefined) end(started)
  }
  return {
    plan(service, start) {
      if (spares.has(service)) return
      for (const oldest of spares.keys()) {
        if (spares.size < max) break
        drop(oldest)
      }
      const cancel = clock.setTimer(clock.now() + spareAfterMs, () => {
        spare.started = start()
      })
      const spare: Spare<T> = { started: undefined, cancel }
      spares.set(service, spare)
    },
    take,
    drop,
    dropAll: () => [...spares.keys()].forEach(drop),
    forget: (gone) => {
      for (const [service, { started }] of spares) if (started === gone) spares.delete(service)
    },
  }
}
