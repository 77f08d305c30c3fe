export { fileDisk } from './chunks/disk.file.ts'
export * from './index.ts'
export { type FilePeerStoreOptions, openFilePeerStore } from './peer-store.node.ts'
export { SIGNALLING_LIMITS, type SignallingLimits } from './signalling/limits.ts'
export { type SignallingOptions, type SignallingServer, startSignalling } from './signalling/server.ts'
export { createNodeTransport, loadPeerJs } from './transport/peerjs.node.ts'
export type {
  PeerJsTransport,
  PeerJsTransportOptions,
  SignallingAddress,
} from './transport/peerjs.types.ts'
