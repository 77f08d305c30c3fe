import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { SignallingOptions, SignallingServer } from './server.ts'
import { startSignalling } from './server.ts'
import { withStoppableTimers } from './timers.ts'

const servers: SignallingServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function start(
  options: SignallingOptions = {},
): Promise<{ server: SignallingServer; refused: string[] }> {
  const refused: string[] = []
  const server = await startSignalling({ ...options, onRefused: (code) => refused.push(code) })
  servers.push(server)
  return { server, refused }
}

const idOf = (no: number, room = 'pond'): string => `${room}-${String(no).padStart(16, '0')}`

interface Message {
  readonly type: string
  readonly src?: string
  readonly payload?: unknown
}

/** A client that speaks the protocol by hand, so that it can break it. */
interface Client {
  readonly socket: WebSocket
  send(message: object): void
  next(): Promise<Message>
}

function connect(server: SignallingServer, id: string, token = id): Client {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/peerjs?key=peerjs&id=${id}&token=${token}`)
  const kept: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  socket.on('error', () => {})
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as Message
    const waiter = waiting.shift()
    if (waiter === undefined) kept.push(message)
    else waiter(message)
  })
  return {
    socket,
    send: (message) => socket.send(JSON.stringify(message)),
    next() {
      const message = kept.shift()
      return message === undefined
        ? new Promise((resolve) => waiting.push(resolve))
        : Promise.resolve(message)
    },
  }
}

/** Past its `OPEN` and the list of who is present. */
async function enter(server: SignallingServer, id: string): Promise<Client> {
  const client = connect(server, id)
  expect(await client.next()).toEqual({ type: 'OPEN' })
  expect(await client.next()).toMatchObject({ type: 'SHOAL-SEEN' })
  return client
}

async function refusalOf(client: Client): Promise<number> {
  const [, response] = (await once(client.socket, 'unexpected-response')) as [unknown, { statusCode: number }]
  return response.statusCode
}

test('peers of one room hear of each other coming and going, others hear nothing', async () => {
  const { server } = await start()
  const first = await enter(server, idOf(1))
  const stranger = await enter(server, idOf(9, 'sea'))
  const second = connect(server, idOf(2))
  expect(await second.next()).toEqual({ type: 'OPEN' })
  expect(await second.next()).toEqual({ type: 'SHOAL-SEEN', payload: [idOf(1)] })
  expect(await first.next()).toEqual({ type: 'SHOAL-SEEN', payload: [idOf(2)] })
  second.socket.terminate()
  expect(await first.next()).toEqual({ type: 'SHOAL-GONE', payload: [idOf(2)] })
  // The stranger's next message is the answer to its own: nothing came in between.
  stranger.send({ type: 'OFFER', dst: idOf(1), payload: {} })
  expect(await stranger.next()).toMatchObject({ type: 'EXPIRE' })
})

test('the listing names the addresses of the room that is asked for', async () => {
  const { server } = await start()
  await enter(server, idOf(1))
  await enter(server, idOf(2))
  await enter(server, idOf(9, 'sea'))
  const response = await fetch(`${server.url}shoal/rooms/pond`)
  expect(await response.json()).toEqual({ addresses: [idOf(1), idOf(2)] })
  expect(response.headers.get('access-control-allow-origin')).toBe('*')
  expect(server.addresses('sea')).toEqual([idOf(9, 'sea')])
})

test('rooms cannot be listed, and PeerJS’ own pages are not served', async () => {
  const { server } = await start()
  await enter(server, idOf(1))
  for (const path of ['shoal/rooms/', 'shoal/rooms/%2e%2e', 'peerjs/peers', 'peerjs/id', '']) {
    const response = await fetch(`${server.url}${path}`)
    expect([path, response.status]).toEqual([path, 404])
  }
})

test('other requests are the page’s', async () => {
  const { server } = await start({
    serve(request, response) {
      if (request.url === '/broken') throw new Error('thrown by the page of the test')
      if (request.url !== '/') return false
      response.end('the page')
      return true
    },
  })
  expect(await (await fetch(server.url)).text()).toBe('the page')
  expect((await fetch(`${server.url}nothing`)).status).toBe(404)
  expect((await fetch(`${server.url}broken`)).status).toBe(500)
  expect((await fetch(`${server.url}shoal/rooms/pond`)).status).toBe(200)
})

test('messages reach their room, with the sender’s true address', async () => {
  const { server } = await start()
  const first = await enter(server, idOf(1))
  const second = await enter(server, idOf(2))
  expect(await first.next()).toMatchObject({ type: 'SHOAL-SEEN' })
  second.send({ type: 'OFFER', src: idOf(3), dst: idOf(1), payload: { sdp: 'x' } })
  expect(await first.next()).toEqual({ type: 'OFFER', src: idOf(2), dst: idOf(1), payload: { sdp: 'x' } })
})

test('a message to nobody comes back at once instead of waiting', async () => {
  const { server } = await start()
  const client = await enter(server, idOf(1))
  client.send({ type: 'OFFER', dst: idOf(2), payload: {} })
  expect(await client.next()).toEqual({ type: 'EXPIRE', src: idOf(2), dst: idOf(1) })
})

test('what clients may not say is dropped: other types, forged hints, no JSON', async () => {
  const { server, refused } = await start()
  const first = await enter(server, idOf(1))
  const second = await enter(server, idOf(2))
  expect(await first.next()).toMatchObject({ type: 'SHOAL-SEEN' })
  second.send({ type: 'SHOAL-GONE', dst: idOf(1), payload: [idOf(2)] })
  second.send({ type: 'OPEN', dst: idOf(1) })
  second.send({ type: 'LEAVE' })
  second.send([])
  second.socket.send('{')
  second.socket.send('null')
  second.send({ type: 'HEARTBEAT' })
  second.send({ type: 'ANSWER', dst: idOf(1), payload: 1 })
  expect(await first.next()).toEqual({ type: 'ANSWER', src: idOf(2), dst: idOf(1), payload: 1 })
  expect(refused).toEqual(Array(6).fill('E_SIGNAL'))
})

test('a message over the limit ends its sender alone', async () => {
  const { server } = await start({ limits: { messageBytesMax: 1_000 } })
  const [first, second] = [await enter(server, idOf(1)), await enter(server, idOf(2))]
  const closed = once(second.socket, 'close')
  second.send({ type: 'OFFER', dst: idOf(1), payload: 'x'.repeat(1_000) })
  expect((await closed)[0]).toBe(1009)
  expect(await first.next()).toMatchObject({ type: 'SHOAL-SEEN' })
  expect(await first.next()).toEqual({ type: 'SHOAL-GONE', payload: [idOf(2)] })
})

test('a client that sends too much too fast is closed', async () => {
  const { server, refused } = await start({ limits: { messagesBurst: 10, messagesPerSecond: 0.001 } })
  const client = await enter(server, idOf(1))
  const closed = once(client.socket, 'close')
  for (let no = 0; no < 11; no += 1) client.send({ type: 'HEARTBEAT' })
  expect((await closed)[0]).toBe(1008)
  expect(refused).toEqual(['E_RATE'])
})

test('connections are limited in all and by network address', async () => {
  for (const limits of [{ clientsMax: 2 }, { clientsPerAddressMax: 2 }]) {
    const { server, refused } = await start({ limits })
    const first = await enter(server, idOf(1))
    await enter(server, idOf(2))
    expect(await refusalOf(connect(server, idOf(3)))).toBe(503)
    expect(refused).toEqual(['E_LIMIT'])
    const gone = once(first.socket, 'close')
    first.socket.close()
    await gone
    await enter(server, idOf(4))
  }
})

test('a malformed address is turned away', async () => {
  const { server } = await start()
  for (const id of ['pond', 'pond-short', 'pond-000000000000000A', '-0000000000000000', '']) {
    expect(await refusalOf(connect(server, id))).toBe(400)
  }
})

test('an address belongs to its token', async () => {
  const { server } = await start()
  const owner = await enter(server, idOf(1))
  const thief = connect(server, idOf(1), 'another token')
  expect(await thief.next()).toMatchObject({ type: 'ID-TAKEN' })
  const second = await enter(server, idOf(2))
  second.send({ type: 'OFFER', dst: idOf(1), payload: 'for the owner' })
  expect(await owner.next()).toEqual({ type: 'SHOAL-SEEN', payload: [idOf(2)] })
  expect(await owner.next()).toMatchObject({ type: 'OFFER', payload: 'for the owner' })
})

test('a client that comes back before its old socket is gone takes its address over', async () => {
  const { server } = await start()
  const old = await enter(server, idOf(1))
  const ended = once(old.socket, 'close')
  await enter(server, idOf(1))
  await ended
  expect(server.addresses('pond')).toEqual([idOf(1)])
  const second = await enter(server, idOf(2))
  second.send({ type: 'HEARTBEAT' })
  expect(server.addresses('pond')).toEqual([idOf(1), idOf(2)])
})

test('a port in use gives E_LISTEN', async () => {
  const { server } = await start()
  await expect(startSignalling({ port: server.port })).rejects.toMatchObject({ code: 'E_LISTEN' })
})

test('close ends every socket and frees the port', async () => {
  const { server } = await start()
  const client = await enter(server, idOf(1))
  const closed = once(client.socket, 'close')
  await Promise.all([server.close(), server.close()])
  await closed
  const { server: next } = await start({ port: server.port })
  expect(next.port).toBe(server.port)
})

test('timers of a stopped scope, and those that they start, never run', async () => {
  const scope = withStoppableTimers()
  const story: string[] = []
  const tick = (): void => {
    story.push('tick')
    if (story.length === 3) scope.stop()
    setTimeout(tick, 1)
  }
  scope.run(() => setTimeout(tick, 1))
  // Timers of one length run in the order in which they were set.
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1))
  expect(story).toEqual(['tick', 'tick', 'tick'])
})
