import type { PeerId, ProcessorId, Scope } from '@shoal/scheduler'

const anyScope: Scope = Object.freeze({ type: 'any' })
const defaultScope: Scope = Object.freeze({ type: 'default' })

/**
 * Where a task may run. A task without a scope gets {@link ScopeBuilders.byDefault}: every processor
 * that is on by default.
 */
export interface ScopeBuilders {
  /** Every processor that is on by default: what a task without a scope gets. */
  byDefault(): Scope
  /** Every processor of the room, those that have to be asked for included. */
  any(): Scope
  /** All processors of one peer. */
  peer(id: string): Scope
  /** All processors of one kind, for example `worker`. */
  kind(kind: string): Scope
  /** One processor. */
  processor(id: string): Scope
  /** Where at least one of these allows it. */
  union(...scopes: readonly Scope[]): Scope
  /** Where all of these allow it. */
  intersect(...scopes: readonly Scope[]): Scope
  /** Everywhere but there, processors that have to be asked for included. */
  except(scope: Scope): Scope
}

/** Builds scopes for {@link TaskOptions.scope}. */
export const scope: ScopeBuilders = Object.freeze({
  byDefault: () => defaultScope,
  any: () => anyScope,
  peer: (id: string) => Object.freeze({ type: 'peer' as const, peer: id as PeerId }),
  kind: (kind: string) => Object.freeze({ type: 'kind' as const, kind }),
  processor: (id: string) => Object.freeze({ type: 'processor' as const, processor: id as ProcessorId }),
  union: (...scopes: readonly Scope[]) => Object.freeze({ type: 'union' as const, scopes }),
  intersect: (...scopes: readonly Scope[]) => Object.freeze({ type: 'intersect' as const, scopes }),
  except: (scope: Scope) => Object.freeze({ type: 'except' as const, scope }),
})
