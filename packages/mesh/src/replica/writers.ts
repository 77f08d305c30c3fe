import type { PeerId } from '@shoal/scheduler'

/**
 * Which peer writes under which Yjs client id. A client id is made fresh at each start of a replica and
 * belongs to one peer for ever, so the first word counts and a later, different one is refused.
 */
export interface Writers {
  of(client: number): PeerId | null
  /** `false` when the id belongs to another peer, or the peer has too many. */
  bind(client: number, peer: PeerId): boolean
  /** `true` when {@link Writers.bind} would succeed. */
  canBind(client: number, peer: PeerId): boolean
  /** Forgets the ids of `peer` that no held document uses. */
  prune(peer: PeerId, isUsed: (client: number) => boolean): void
}

export function createWriters(clientsPerPeer: number): Writers {
  const peers = new Map<number, PeerId>()
  const clients = new Map<PeerId, Set<number>>()

  function canBind(client: number, peer: PeerId): boolean {
    const bound = peers.get(client)
    if (bound !== undefined) return bound === peer
    return (clients.get(peer)?.size ?? 0) < clientsPerPeer
  }

  return {
    of: (client) => peers.get(client) ?? null,
    canBind,
    bind(client, peer) {
      if (!canBind(client, peer)) return false
      peers.set(client, peer)
      const own = clients.get(peer)
      if (own === undefined) clients.set(peer, new Set([client]))
      else own.add(client)
      return true
    },
    prune(peer, isUsed) {
      for (const client of clients.get(peer) ?? []) {
        if (isUsed(client)) continue
        clients.get(peer)?.delete(client)
        peers.delete(client)
      }
      if (clients.get(peer)?.size === 0) clients.delete(peer)
    },
  }
}
