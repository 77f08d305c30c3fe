import type { ChunkNetwork } from '@shoal/mesh'

/** The network of a peer that met nobody yet. */
export const aloneOnNetwork: ChunkNetwork = {
  reach: () => 'gone',
  isTrusted: () => false,
  ask() {},
  async answer() {},
  refuse() {},
}
