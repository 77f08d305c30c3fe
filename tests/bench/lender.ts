import { joinMesh } from '@shoal/sdk'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { answerBare } from './bare.ts'

/*
 * A Node process that lends workers, and is the far end of the bare channel. Told what to do by its parent.
 */

type Order =
  | { readonly type: 'join'; readonly invite: string; readonly workers: number }
  | { readonly type: 'bare'; readonly offer: string }

const connections: RTCPeerConnection[] = []

async function obey(order: Order): Promise<object> {
  if (order.type === 'join') {
    const mesh = await joinMesh(order.invite, { name: `lender ${process.pid}`, workers: order.workers })
    return { type: 'joined', peer: mesh.self }
  }
  const connection = new RTCPeerConnection({ iceServers: [] })
  connections.push(connection)
  return { type: 'answer', answer: await answerBare(connection as never, order.offer) }
}

process.on('message', (order: Order) => {
  obey(order).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ type: 'failed', reason: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
process.send?.({ type: 'ready' })
