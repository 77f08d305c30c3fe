export { idbDisk } from './chunks/disk.idb.ts'
export * from './index.ts'
export { openBrowserPeerStore } from './peer-store.browser.ts'
export { createBrowserTransport } from './transport/peerjs.browser.ts'
export type {
  PeerJsTransport,
  PeerJsTransportOptions,
  SignallingAddress,
} from './transport/peerjs.types.ts'
