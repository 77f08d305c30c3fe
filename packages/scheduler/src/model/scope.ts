import { type PeerId, type ProcessorId, peerOfProcessor } from './ids.ts'
import type { ProcessorKind, ProcessorRecord } from './processor.ts'

/** The set of processors where a task may run, as plain data. */
export type Scope =
  | { readonly type: 'default' }
  | { readonly type: 'any' }
  | { readonly type: 'peer'; readonly peer: PeerId }
  | { readonly type: 'kind'; readonly kind: ProcessorKind }
  | { readonly type: 'processor'; readonly processor: ProcessorId }
  | { readonly type: 'union'; readonly scopes: readonly Scope[] }
  | { readonly type: 'intersect'; readonly scopes: readonly Scope[] }
  /** Everywhere but there. */
  | { readonly type: 'except'; readonly scope: Scope }

/** Every processor that is on by default: what a task without a scope gets. */
export const defaultScope: Scope = Object.freeze({ type: 'default' })

/** Says whether `processor` lies in `scope`. */
export function matchesScope(scope: Scope, processor: ProcessorRecord): boolean {
  switch (scope.type) {
    case 'default':
      return processor.isDefault
    case 'any':
      return true
    case 'peer':
      return peerOfProcessor(processor.id) === scope.peer
    case 'kind':
      return processor.kind === scope.kind
    case 'processor':
      return processor.id === scope.processor
    case 'union':
      return scope.scopes.some((part) => matchesScope(part, processor))
    case 'intersect':
      return scope.scopes.every((part) => matchesScope(part, processor))
    case 'except':
      return !matchesScope(scope.scope, processor)
  }
}

/** The peers that a scope reaches, whatever kinds of processors it names on them. */
export function peersOfScope(scope: Scope): Scope {
  switch (scope.type) {
    case 'default':
    case 'any':
    case 'kind':
      return anywhere
    case 'peer':
      return scope
    case 'processor':
      return { type: 'peer', peer: peerOfProcessor(scope.processor) }
    case 'union': {
      const parts = scope.scopes.map(peersOfScope)
      return parts.includes(anywhere) ? anywhere : { type: 'union', scopes: parts }
    }
    case 'intersect':
      return intersection(scope.scopes.map(peersOfScope))
    case 'except':
      // What lacks some processors of a peer may have others of it.
      return scope.scope.type === 'peer' || scope.scope.type === 'any' ? scope : anywhere
  }
}

/** Where all of these allow it, each named once. */
export function intersection(scopes: readonly Scope[]): Scope {
  const parts = new Map<string, Scope>()
  for (const scope of scopes) {
    for (const part of scope.type === 'intersect' ? scope.scopes : [scope])
      if (part.type !== 'any') parts.set(scopeKey(part), part)
  }
  const [first, ...rest] = parts.values()
  if (first === undefined) return anywhere
  return rest.length === 0 ? first : { type: 'intersect', scopes: [first, ...rest] }
}

const anywhere: Scope = Object.freeze({ type: 'any' })

/** A text that is equal for equal scopes: the key of a queue, and what messages show. */
export function scopeKey(scope: Scope): string {
  switch (scope.type) {
    case 'default':
    case 'any':
      return scope.type
    case 'peer':
      return `peer(${scope.peer})`
    case 'kind':
      return `kind(${scope.kind})`
    case 'processor':
      return `processor(${scope.processor})`
    case 'union':
      return `union(${scope.scopes.map(scopeKey).join(',')})`
    case 'intersect':
      return `intersect(${scope.scopes.map(scopeKey).join(',')})`
    case 'except':
      return `except(${scopeKey(scope.scope)})`
  }
}
