// Serves the page with a strict policy: node server.mjs [address of a room, such as http://127.0.0.1:8080]

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const room = process.argv[2]
const policy = [
  "default-src 'none'",
  // blob: an operation travels as text, and a worker imports it from memory.
  "script-src 'self' blob:",
  // blob: the one-file SDK has the script of its workers inside.
  "worker-src 'self' blob:",
  // The signalling of the room, over http and a WebSocket; WebRTC between peers needs no directive.
  room === undefined ? "connect-src 'none'" : `connect-src ${room} ${room.replace(/^http/, 'ws')}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const files = {
  '/': [new URL('index.html', import.meta.url), 'text/html'],
  '/main.js': [new URL('main.js', import.meta.url), 'text/javascript'],
  '/shoal.browser.js': [
    new URL('../../packages/sdk/dist/shoal.browser.js', import.meta.url),
    'text/javascript',
  ],
}

const server = createServer((request, response) => {
  const file = files[request.url]
  if (file === undefined) {
    response.writeHead(404).end()
    return
  }
  const [path, type] = file
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'content-security-policy': policy })
  response.end(readFileSync(path))
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`))
