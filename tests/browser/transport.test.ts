import { createBrowserTransport } from '@shoal/mesh/browser'
import type { Transport } from '@shoal/scheduler'
import { transportContract } from '@shoal/scheduler/testing/contract/transport'
import { inject } from 'vitest'

const prefix = crypto.randomUUID().slice(0, 8)
let rooms = 0

// The same rules as in Node, on the browser's own WebRTC: every peer of the room lives in this page.
transportContract({
  name: 'WebRTC in a page',
  hasBinding: true,
  create: async () => {
    rooms += 1
    const room = `${prefix}-${rooms}`
    const joined: Transport[] = []
    return {
      join() {
        const transport = createBrowserTransport({ signalling: inject('signalling'), room })
        joined.push(transport)
        return transport
      },
      async close() {
        await Promise.all(joined.map((transport) => transport.close()))
      },
    }
  },
})
