export * from './index.ts'
export { createBrowserTransport } from './transport/peerjs.browser.ts'
