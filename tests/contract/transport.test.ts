import { createNodeTransport, startSignalling } from '@shoal/mesh/node'
import { createChaosTransport, createMemoryNetwork } from '@shoal/mesh/testing'
import type { Transport } from '@shoal/scheduler'
import type { TransportRoom } from '@shoal/scheduler/testing/contract/transport'
import { transportContract } from '@shoal/scheduler/testing/contract/transport'
import { linedTransport, movingTransport } from '../support/line-transport.ts'

function roomOf(join: () => Transport, end: () => Promise<void>): TransportRoom {
  const joined: Transport[] = []
  return {
    join() {
      const transport = join()
      joined.push(transport)
      return transport
    },
    async close() {
      await Promise.all(joined.map((transport) => transport.close()))
      await end()
    },
  }
}

transportContract({
  name: 'memory',
  hasBinding: false,
  create: async () => {
    const network = createMemoryNetwork()
    return roomOf(
      () => network.join(),
      async () => {},
    )
  },
})

transportContract({
  name: 'chaos without faults',
  hasBinding: false,
  create: async () => {
    const network = createMemoryNetwork()
    return roomOf(
      () => createChaosTransport(network.join()),
      async () => {},
    )
  },
})

transportContract({
  name: 'WebRTC',
  hasBinding: true,
  create: async () => {
    const server = await startSignalling()
    const signalling = { host: server.host, port: server.port }
    return roomOf(() => createNodeTransport({ signalling, room: 'contract', loopback: true }), server.close)
  },
})

transportContract({
  name: 'WebRTC on its way to TCP lines',
  hasBinding: true,
  create: async () => {
    const server = await startSignalling()
    return roomOf(() => movingTransport(server), server.close)
  },
})

transportContract({
  name: 'TCP lines',
  hasBinding: true,
  create: async () => {
    const server = await startSignalling()
    return roomOf(() => linedTransport(server), server.close)
  },
})
