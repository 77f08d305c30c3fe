import { Peer } from 'peerjs'
import { createPeerJsTransport, extended } from './peerjs.ts'
import type { PeerJsTransport, PeerJsTransportOptions } from './peerjs.types.ts'

/**
 * The WebRTC transport of a browser page. It hangs up when the page goes away: others would wait for
 * half a minute, or for ever, to hear of it from WebRTC.
 * @throws ShoalError `E_OPTION` when `options.room` is no room name
 */
export function createBrowserTransport(options: PeerJsTransportOptions): PeerJsTransport {
  const transport = createPeerJsTransport(options, () => ({ Peer }))
  addEventListener('pagehide', transport.hangUp, { once: true })
  return extended(transport, {
    close() {
      removeEventListener('pagehide', transport.hangUp)
      return transport.close()
    },
  })
}
