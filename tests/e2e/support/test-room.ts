import { joinMesh, type Mesh } from '@shoal/sdk'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { type NodePeer, startNodePeer } from './node-peer.ts'

/** One room for the tests of a file, and peers that last for one test. Invites are the member's if left out. */
export interface TestRoom {
  contributorInvite(): string
  memberInvite(): string
  /** A peer in this process. */
  member(name: string, workers?: number, invite?: string): Promise<Mesh>
  /** A peer in a process of its own. */
  node(name: string, workers?: number, invite?: string): Promise<NodePeer>
}

/** Opens a room before the file's first test, ends each test's peers after it, and the room after the last one. */
export function useRoom(): TestRoom {
  let host: RoomHost
  const meshes: Mesh[] = []
  const peers: NodePeer[] = []
  beforeAll(async () => {
    host = await hostRoom({ page: false })
  })
  afterEach(async () => {
    await Promise.all(meshes.splice(0).map((mesh) => mesh.close()))
    await Promise.all(peers.splice(0).map((peer) => peer.stop()))
  })
  afterAll(() => host.close())
  return {
    contributorInvite: () => host.contributorInvite,
    memberInvite: () => host.memberInvite,
    async member(name, workers = 0, invite = host.memberInvite) {
      const mesh = await joinMesh(invite, { name, workers })
      meshes.push(mesh)
      return mesh
    },
    async node(name, workers = 0, invite = host.memberInvite) {
      const peer = await startNodePeer(invite, name, workers)
      peers.push(peer)
      return peer
    },
  }
}
