import { joinMesh, type Mesh } from '@shoal/sdk'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { answerBare } from './bare.ts'
import { Counter } from './counter.ts'
import { startRawWorker } from './start-raw.node.ts'
import { answerTcp } from './tcp.ts'

/*
 * A Node process that lends workers, and is the far end of the bare channel. Told what to do by its parent.
 */

type Order =
  | { readonly type: 'join'; readonly invite: string; readonly workers: number }
  | { readonly type: 'bare'; readonly offer: string }
  | { readonly type: 'tcp' }
  | { readonly type: 'service'; readonly name: string; readonly durability: 'none' | 'snapshot' | 'journal' }

const connections: RTCPeerConnection[] = []
let mesh: Mesh | null = null

async function obey(order: Order): Promise<object> {
  if (order.type === 'join') {
    mesh = await joinMesh(order.invite, { name: `lender ${process.pid}`, workers: order.workers })
    return { type: 'joined', peer: mesh.self }
  }
  if (order.type === 'service') {
    const { name, durability } = order
    await mesh?.service(Counter, [], { name, durability })
    return { type: 'made' }
  }
  if (order.type === 'tcp') return { type: 'listening', port: await answerTcp() }
  const connection = new RTCPeerConnection({ iceServers: [] })
  connections.push(connection)
  return { type: 'answer', answer: await answerBare(connection as never, order.offer, startRawWorker()) }
}

process.on('message', (order: Order) => {
  obey(order).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ type: 'failed', reason: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
process.send?.({ type: 'ready' })
