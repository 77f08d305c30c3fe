import type { Actor } from './actors.ts'

/** Somebody who came into the room, or back into view, has heard of everything after this, in milliseconds. */
const settlesMs = 5_000

/** Tells who has been in touch with everybody for a while: only those are promised that their outcomes agree. */
export interface Settled {
  /** To be called at each event. */
  look(actors: readonly Actor[], at: number): void
  isSettled(actor: Actor, at: number): boolean
}

export function createSettled(): Settled {
  const upSince = new Map<Actor, number>()
  const brokenAt = new Map<Actor, number>()
  return {
    look(actors, at) {
      for (const actor of actors) {
        if (actor.state !== 'up') upSince.delete(actor)
        else if (!upSince.has(actor)) upSince.set(actor, at)
      }
      const settling = (actor: Actor): boolean => at - (upSince.get(actor) ?? at) < settlesMs
      for (const actor of upSince.keys()) {
        const misses = (other: Actor): boolean => !actor.view.has(other.peer) || !other.view.has(actor.peer)
        const isBroken = [...upSince.keys()].some(
          (other) => other !== actor && !settling(other) && misses(other),
        )
        if (isBroken) brokenAt.set(actor, at)
      }
    },
    isSettled(actor, at) {
      const since = Math.max(upSince.get(actor) ?? at, brokenAt.get(actor) ?? 0)
      return at - since >= settlesMs
    },
  }
}
