import { parentPort } from 'node:worker_threads'
import { serveRaw } from '../raw.ts'

parentPort?.on(
  'message',
  serveRaw((message, transfer) => parentPort?.postMessage(message, transfer)),
)
