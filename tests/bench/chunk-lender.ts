import { createNodeTransport, fileDisk } from '@shoal/mesh/node'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { type ChunkPeerParts, joinForChunks, type Order } from '../support/chunk-orders.ts'
import { answerBare } from './bare.ts'
import { answerTcp } from './tcp.ts'

/*
 * A Node process that keeps chunks, and is the far end of the references. Told what to do by its parent.
 */

export type ChunkOrder =
  | { readonly type: 'join'; readonly invite: string }
  | { readonly type: 'bare'; readonly offer: string }
  | { readonly type: 'tcp' }
  | { readonly type: 'obey'; readonly order: Order }

/** How a process of the benchmark joins a room. */
export function nodeParts(invite: string, tell: ChunkPeerParts['tell']): ChunkPeerParts {
  return {
    invite,
    memoryMiB: 512,
    openDisk: fileDisk(),
    createTransport({ url, room }) {
      const { hostname: host, port } = new URL(url)
      return createNodeTransport({ signalling: { host, port: Number(port) }, room, loopback: true })
    },
    tell,
  }
}

let peer: Awaited<ReturnType<typeof joinForChunks>> | null = null
const connections: RTCPeerConnection[] = []

async function obey(given: ChunkOrder): Promise<object> {
  if (given.type === 'join') {
    peer = await joinForChunks(nodeParts(given.invite, () => {}))
    return { peer: peer.self }
  }
  if (given.type === 'obey') return (await peer?.obey(given.order)) ?? {}
  if (given.type === 'tcp') return { port: await answerTcp() }
  const connection = new RTCPeerConnection({ iceServers: [] })
  connections.push(connection)
  return { answer: await answerBare(connection as never, given.offer) }
}

if (process.send !== undefined) {
  process.on('message', (given: ChunkOrder) => {
    obey(given).then(
      (reply) => process.send?.(reply),
      (error: unknown) => process.send?.({ failed: String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
  process.send({})
}
