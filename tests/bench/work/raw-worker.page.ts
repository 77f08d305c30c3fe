import { serveRaw } from '../raw.ts'

const serve = serveRaw((message, transfer) => self.postMessage(message, { transfer: transfer ?? [] }))
self.onmessage = (event: MessageEvent) => serve(event.data)
