import type { PeerId } from '@shoal/scheduler'
import { createWorkerHost } from '../index.ts'
import { startNodeWorker } from '../worker.node.ts'

// Run as a program by a test: it must end by itself although the host is still open.
const host = createWorkerHost({
  peer: 'peer-1' as PeerId,
  count: 1,
  startWorker: startNodeWorker,
  operations: { add() {}, get: () => null, fetch: () => Promise.reject(new Error('unused')) },
})
const keepAlive = setInterval(() => {}, 1000)
await host.ready()
console.log('ready')
clearInterval(keepAlive)
