import { joinMesh } from '@shoal/sdk'
import type { Order, PeerConfig, PeerEvent } from './orders.ts'
import { startPeer } from './peer.ts'

/** A peer of the run in a page: the run puts `chaosConfig` and `chaosTell` there, and calls `chaosOrder`. */
const page = globalThis as typeof globalThis & {
  readonly chaosConfig: PeerConfig
  readonly chaosTell: (event: PeerEvent) => void
  chaosOrder?: (order: Order) => void
}

async function main(): Promise<void> {
  page.chaosOrder = await startPeer({
    config: page.chaosConfig,
    join: joinMesh,
    tell: (event) => page.chaosTell(event),
  })
}

void main()
