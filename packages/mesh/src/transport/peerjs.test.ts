import type { Link } from '@shoal/scheduler'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { SignallingServer } from '../signalling/server.ts'
import { startSignalling } from '../signalling/server.ts'
import { createAddress } from './address.ts'
import { fingerprintOf } from './peerjs.link.ts'
import { createNodeTransport, loadPeerJs } from './peerjs.node.ts'
import type { PeerJsTransport, PeerJsTransportOptions } from './peerjs.types.ts'

const room = 'pond'
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function serve(port = 0): Promise<SignallingServer> {
  const server = await startSignalling({ port })
  closers.push(server.close)
  return server
}

function join(
  port: number,
  options: Partial<PeerJsTransportOptions> = {},
): PeerJsTransport & { readonly refused: string[] } {
  const refused: string[] = []
  const transport = createNodeTransport({
    signalling: { host: '127.0.0.1', port },
    room,
    loopback: true,
    onRefused: (code, message) => refused.push(`${code} ${message}`),
    ...options,
  })
  closers.push(() => transport.close())
  return Object.assign(transport, { refused })
}

function turnsOnline(transport: PeerJsTransport, expected: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (transport.isOnline === expected) return resolve()
    const off = transport.onOnline((isOnline) => {
      if (isOnline !== expected) return
      off()
      resolve()
    })
  })
}

const nextLink = (transport: PeerJsTransport): Promise<Link> =>
  new Promise((resolve) => {
    const off = transport.onLink((link) => {
      off()
      resolve(link)
    })
  })

const nextMessage = (link: Link): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const off = link.onMessage((message) => {
      off()
      resolve(message)
    })
    link.onClose((reason) => reject(new Error(`The link closed: ${reason}`)))
  })

/** Somebody in the room who writes signalling messages by hand, and answers none. */
async function intruder(server: SignallingServer): Promise<{ address: string; send(message: object): void }> {
  const address = createAddress(room)
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/peerjs?key=peerjs&id=${address}&token=t`)
  closers.push(async () => socket.terminate())
  await new Promise((resolve) => socket.on('open', resolve))
  return { address, send: (message) => socket.send(JSON.stringify(message)) }
}

describe('signalling that goes away', () => {
  test('leaves links alone; new ones wait for its return', async () => {
    const server = await serve()
    const [first, second] = [join(server.port), join(server.port)]
    const arrived = nextLink(second)
    const near = await first.dial(second.address, 'control')
    const far = await arrived
    const away = [turnsOnline(first, false), turnsOnline(second, false)]
    await server.close()
    await Promise.all(away)
    expect(first.offlineReason).not.toBeNull()
    near.send(Uint8Array.of(1))
    expect(await nextMessage(far)).toEqual(Uint8Array.of(1))

    const bulk = nextLink(second)
    const dialled = first.dial(second.address, 'bulk')
    await serve(server.port)
    // The other side may come back later: then nobody is there yet, and the dialler tries again.
    const link = await dialled.catch(async () => {
      await turnsOnline(second, true)
      return first.dial(second.address, 'bulk')
    })
    link.send(Uint8Array.of(2))
    expect(await nextMessage(await bulk)).toEqual(Uint8Array.of(2))
    expect(first.offlineReason).toBeNull()
  })

  test('a join before the server is there waits and says so', async () => {
    const probe = await serve()
    await probe.close()
    const early = join(probe.port)
    expect(early.isOnline).toBe(false)
    expect(early.offlineReason).toEqual(expect.any(String))
    await serve(probe.port)
    await turnsOnline(early, true)
    expect(early.offlineReason).toBeNull()
  })

  test('[MB4] a dial whose answer may have gone down with it fails when it is back, to be made again', async () => {
    const server = await serve()
    const first = join(server.port)
    await turnsOnline(first, true)
    const { address } = await intruder(server)
    const failed = expect(first.dial(address, 'control')).rejects.toMatchObject({
      code: 'E_DIAL',
      message: expect.stringContaining('signalling was away'),
    })
    const away = turnsOnline(first, false)
    await server.close()
    await away
    await serve(server.port)
    await failed
  })

  test('a dial without it fails in time and says why', async () => {
    const probe = await serve()
    await probe.close()
    const early = join(probe.port, { dialTimeoutMs: 50 })
    await expect(early.dial(createAddress(room), 'control')).rejects.toMatchObject({
      code: 'E_DIAL',
      message: expect.stringContaining('signalling is away'),
    })
  })

  test('closing ends a dial that waits', async () => {
    const probe = await serve()
    await probe.close()
    const early = join(probe.port)
    const dialled = early.dial(createAddress(room), 'control')
    await Promise.all([expect(dialled).rejects.toMatchObject({ code: 'E_DIAL' }), early.close()])
  })
})

describe('hostile peers', () => {
  test('cannot break a transport with malformed signalling', async () => {
    const server = await serve()
    const victim = join(server.port)
    await turnsOnline(victim, true)
    const { send } = await intruder(server)
    const dst = victim.address
    const good = {
      type: 'data',
      serialization: 'raw',
      label: 'control',
      connectionId: 'c',
      sdp: { type: 'offer', sdp: 'x' },
    }
    const offers = [
      undefined,
      [],
      'text',
      { ...good, serialization: 'binary' },
      { ...good, serialization: 'no such thing' },
      { ...good, type: 'media' },
      { ...good, label: 'other' },
      { ...good, connectionId: {} },
      { ...good, sdp: undefined },
      { ...good, sdp: { type: 'answer', sdp: 'x' } },
      { ...good, sdp: { type: 'offer', sdp: 'x'.repeat(20_000) } },
    ]
    const replies = [
      undefined,
      {},
      { connectionId: 'c' },
      { connectionId: 'c', sdp: {}, candidate: { candidate: 1 } },
    ]
    for (const payload of offers) send({ type: 'OFFER', dst, payload })
    for (const payload of replies) {
      send({ type: 'ANSWER', dst, payload })
      send({ type: 'CANDIDATE', dst, payload })
    }
    // Well formed, of no connection: forgotten without a word. An offer that is no SDP: fails by itself.
    send({ type: 'CANDIDATE', dst, payload: { connectionId: 'none', candidate: { candidate: 'x' } } })
    send({ type: 'OFFER', dst, payload: good })
    send({
      type: 'CANDIDATE',
      dst,
      payload: { connectionId: 'c', candidate: { candidate: 'x', sdpMid: '0' } },
    })
    send({ type: 'LEAVE', dst })
    send({ type: 'EXPIRE', dst })

    const honest = join(server.port)
    const arrived = nextLink(victim)
    const near = await honest.dial(dst, 'control')
    near.send(Uint8Array.of(5))
    expect(await nextMessage(await arrived)).toEqual(Uint8Array.of(5))
    expect(victim.refused.filter((line) => line.startsWith('E_SIGNAL'))).toHaveLength(
      offers.length + 2 * replies.length,
    )
  })

  test('cannot open connections without end', async () => {
    const server = await serve()
    const victim = join(server.port)
    await turnsOnline(victim, true)
    const greedy = join(server.port, { dialTimeoutMs: 2_000 })
    const dials = Array.from({ length: 6 }, () => greedy.dial(victim.address, 'control'))
    const results = (await Promise.allSettled(dials)).map(({ status }) => status)
    expect(results.filter((status) => status === 'fulfilled')).toHaveLength(4)
  })

  test('get a text message refused; the link goes on', async () => {
    const server = await serve()
    const victim = join(server.port)
    await turnsOnline(victim, true)
    const arrived = nextLink(victim)
    const address = createAddress(room)
    const { Peer } = loadPeerJs()
    const peer = new Peer(address, {
      host: '127.0.0.1',
      port: server.port,
      path: '/',
      secure: false,
      debug: 0,
      config: { iceServers: [], bindAddress: '127.0.0.1' } as RTCConfiguration,
    })
    closers.push(async () => peer.destroy())
    await new Promise<void>((resolve) => peer.on('open', () => resolve()))
    const connection = peer.connect(victim.address, {
      serialization: 'raw',
      reliable: true,
      label: 'control',
    })
    await new Promise<void>((resolve) => connection.on('open', resolve))
    connection.send('text')
    connection.send(Uint8Array.of(9))
    expect(await nextMessage(await arrived)).toEqual(Uint8Array.of(9))
    expect(victim.refused).toEqual([
      'E_FRAME Cannot read a message as it must be binary: current value is text',
    ])
    const closed = new Promise<void>((resolve) => connection.on('close', resolve))
    connection.close()
    await closed
  })
})

describe('names', () => {
  test.each(['', 'a b', 'pond-', '-pond', 'a--b', 'pond/', 'x'.repeat(65), 'müde'])(
    '"%s" is no room',
    (name) => {
      expect(() => createAddress(name)).toThrow(expect.objectContaining({ code: 'E_OPTION' }))
    },
  )

  test('two different fingerprints in one description bind nothing', () => {
    const line = (digest: string): string => `a=fingerprint:SHA-256 ${digest}\r\n`
    expect(fingerprintOf(`v=0\r\n${line('ab:01')}m=x\r\n${line('AB:01')}`)).toBe('sha-256 AB:01')
    expect(fingerprintOf(`v=0\r\n${line('AB:01')}${line('AB:02')}`)).toBeNull()
    expect(fingerprintOf('v=0\r\n')).toBeNull()
  })
})
