import { createInterface } from 'node:readline'
import { joinMesh } from '@shoal/sdk'
import type { Order, PeerConfig } from './orders.ts'
import { startPeer } from './peer.ts'

/** A peer of the run in a process of its own: orders on standard input, events on standard output. */
const config = JSON.parse(process.argv[2] ?? '{}') as PeerConfig
const order = await startPeer({
  config,
  join: joinMesh,
  tell: (event) => console.log(JSON.stringify(event)),
})
createInterface({ input: process.stdin })
  .on('line', (line) => order(JSON.parse(line) as Order))
  .on('close', () => process.exit())
