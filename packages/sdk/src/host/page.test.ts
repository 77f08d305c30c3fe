import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { servePage } from './page.ts'

let folder = ''
const servers: Server[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-page-'))
  mkdirSync(join(folder, 'dist/assets'), { recursive: true })
  writeFileSync(join(folder, 'dist/index.html'), '<p>page</p>')
  writeFileSync(join(folder, 'dist/assets/a-1.js'), 'export {}')
  writeFileSync(join(folder, 'secret.txt'), 'secret')
})
afterAll(async () => {
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  rmSync(folder, { recursive: true, force: true })
})

async function serve(page: string | null): Promise<number> {
  const server = createServer((incoming, response) => {
    if (!servePage(page, incoming, response)) response.writeHead(404).end('not the page')
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** Sends the path as it is: `fetch` would tidy it up. */
function get(port: number, path: string, method = 'GET') {
  return new Promise<{ status: number; body: string; headers: Record<string, unknown> }>(
    (resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, path, method, agent: false }, async (response) =>
        resolve({ status: response.statusCode ?? 0, body: await text(response), headers: response.headers }),
      )
      outgoing.on('error', reject).end()
    },
  )
}

test('servePage() answers with the files of the page', async () => {
  const port = await serve(join(folder, 'dist'))
  const index = await get(port, '/')
  expect(index).toMatchObject({ status: 200, body: '<p>page</p>' })
  expect(index.headers).toMatchObject({ 'cache-control': 'no-cache', 'referrer-policy': 'no-referrer' })
  const asset = await get(port, '/assets/a-1.js?x=1')
  expect(asset.headers['content-type']).toBe('text/javascript; charset=utf-8')
  expect(asset.headers['cache-control']).toContain('immutable')
  expect(await get(port, '/', 'HEAD')).toMatchObject({ status: 200, body: '' })
})

test.each([
  '/../secret.txt',
  '/%2e%2e/secret.txt',
  '/..%2fsecret.txt',
  '/assets',
  '/none.js',
  '/%00',
  '/%zz',
])('servePage() does not answer %s', async (path) => {
  const port = await serve(join(folder, 'dist'))
  expect(await get(port, path)).toMatchObject({ status: 404, body: 'not the page' })
})

test('servePage() without a built page says how to build it', async () => {
  const port = await serve(null)
  const answer = await get(port, '/')
  expect(answer.status).toBe(503)
  expect(answer.body).toContain('npm start')
})
