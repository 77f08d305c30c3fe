import { afterEach, describe, expect, test } from 'vitest'
import type { CloseReason, Link, LinkChannel, Transport } from '../../ports.ts'

/** One room, made for one test. */
export interface TransportRoom {
  /** Enters the room with a fresh address. */
  join(): Transport
  /** Ends what `join` gave, and the room. */
  close(): Promise<void>
}

/** An implementation of the ports `Transport` and `Link` under test. */
export interface TransportContract {
  readonly name: string
  create(): Promise<TransportRoom>
  /** Whether links name the certificates of both ends. */
  readonly hasBinding: boolean
  /** Time for one test in milliseconds. Default 20,000. */
  readonly timeoutMs?: number
}

const CHANNELS: readonly LinkChannel[] = ['control', 'bulk']

/** What every user of a transport relies on. Waits for events, never for time. */
export function transportContract(contract: TransportContract): void {
  const options = { timeout: contract.timeoutMs ?? 20_000 }
  describe(`transport contract: ${contract.name}`, options, () => {
    const rooms: TransportRoom[] = []
    afterEach(async () => {
      for (const room of rooms.splice(0)) await room.close()
    })
    const open = async (): Promise<TransportRoom> => {
      const room = await contract.create()
      rooms.push(room)
      return room
    }
    const pair = async (channel: LinkChannel = 'control'): Promise<Pair> => connect(await open(), channel)

    describe('addresses', () => {
      test('those who came first and those who come later see each other', async () => {
        const room = await open()
        const first = room.join()
        const second = room.join()
        await Promise.all([sees(first, second), sees(second, first)])
        const third = room.join()
        await Promise.all([sees(first, third), sees(second, third), sees(third, first), sees(third, second)])
      })

      test('a late listener hears of those who are present', async () => {
        const room = await open()
        const first = room.join()
        const second = room.join()
        await sees(first, second)
        await sees(first, second)
      })

      test('nobody sees itself', async () => {
        const room = await open()
        const first = room.join()
        const seen: string[] = []
        first.onSeen((address) => seen.push(address))
        const second = room.join()
        await Promise.all([sees(first, second), sees(second, first)])
        expect(seen).not.toContain(first.address)
      })

      test('an address that leaves is reported as gone', async () => {
        const room = await open()
        const first = room.join()
        const second = room.join()
        await Promise.all([sees(first, second), sees(second, first)])
        const gone = new Promise<string>((resolve) => first.onGone(resolve))
        await second.close()
        expect(await gone).toBe(second.address)
      })

      test('a transport comes online', async () => {
        const room = await open()
        const transport = room.join()
        const online = new Promise<boolean>((resolve) => {
          if (transport.isOnline) resolve(true)
          transport.onOnline(resolve)
        })
        expect(await online).toBe(true)
        expect(transport.isOnline).toBe(true)
      })
    })

    describe('dialling', () => {
      test.each(CHANNELS)('both ends of a %s link know it and each other', async (channel) => {
        const { near, far, dialler, dialled } = await pair(channel)
        expect([near.channel, far.channel]).toEqual([channel, channel])
        expect([near.remoteAddress, far.remoteAddress]).toEqual([dialled.address, dialler.address])
      })

      test('a link that arrives before a listener is kept for it', async () => {
        const room = await open()
        const [dialler, dialled] = [room.join(), room.join()]
        await sees(dialler, dialled)
        const near = await dialler.dial(dialled.address, 'control')
        near.send(bytes(7))
        const far = await new Promise<Link>((resolve) => dialled.onLink(resolve))
        expect(await received(far, 1)).toEqual([bytes(7)])
      })

      test('a dial to nobody fails with E_DIAL', async () => {
        const room = await open()
        const [first, second] = [room.join(), room.join()]
        await Promise.all([sees(first, second), sees(second, first)])
        const gone = new Promise((resolve) => first.onGone(resolve))
        await second.close()
        await gone
        await expect(first.dial(second.address, 'control')).rejects.toMatchObject({ code: 'E_DIAL' })
      })

      test('a dial to itself fails with E_DIAL', async () => {
        const transport = (await open()).join()
        await expect(transport.dial(transport.address, 'bulk')).rejects.toMatchObject({ code: 'E_DIAL' })
      })

      test('a dial on a closed transport fails with E_DIAL', async () => {
        const room = await open()
        const [first, second] = [room.join(), room.join()]
        await first.close()
        await expect(first.dial(second.address, 'control')).rejects.toMatchObject({ code: 'E_DIAL' })
      })

      test('both sides may dial at once: two links', async () => {
        const room = await open()
        const [first, second] = [room.join(), room.join()]
        await Promise.all([sees(first, second), sees(second, first)])
        const arrived = [first, second].map((peer) => new Promise<Link>((resolve) => peer.onLink(resolve)))
        const dialled = await Promise.all([
          first.dial(second.address, 'control'),
          second.dial(first.address, 'control'),
        ])
        const far = await Promise.all(arrived)
        dialled[0]?.send(bytes(1))
        dialled[1]?.send(bytes(2))
        expect(await received(at(far, 1), 1)).toEqual([bytes(1)])
        expect(await received(at(far, 0), 1)).toEqual([bytes(2)])
      })

      test('links name their certificates crosswise, or none', async () => {
        const { near, far } = await pair()
        if (!contract.hasBinding) {
          expect([near.binding, far.binding]).toEqual([null, null])
          return
        }
        expect(near.binding).not.toBeNull()
        expect(near.binding?.local).toBe(far.binding?.remote)
        expect(near.binding?.remote).toBe(far.binding?.local)
        expect(near.binding?.local).not.toBe(near.binding?.remote)
      })
    })

    describe('messages', () => {
      test('arrive whole, once and in order, both ways', async () => {
        const { near, far } = await pair()
        const sizes = [0, 1, 100, 16_301, 65_536, 3, 0, 20_000]
        for (const size of sizes) near.send(bytes(size))
        for (const size of sizes.toReversed()) far.send(bytes(size))
        const expected = sizes.map((size) => digest(bytes(size)))
        expect((await received(far, sizes.length)).map(digest)).toEqual(expected)
        expect((await received(near, sizes.length)).map(digest)).toEqual(expected.toReversed())
      })

      test('many small ones keep their order', async () => {
        const { near, far } = await pair()
        const count = 2_000
        for (let no = 0; no < count; no += 1) near.send(Uint8Array.of(no >> 8, no & 255))
        const numbers = (await received(far, count)).map(([high = 0, low = 0]) => high * 256 + low)
        expect(numbers).toEqual(Array.from({ length: count }, (_, no) => no))
      })

      test('are copied: the sender may reuse its memory at once', async () => {
        const { near, far } = await pair()
        const buffer = bytes(1_000)
        near.send(buffer)
        buffer.fill(0)
        near.send(buffer.subarray(10, 20))
        expect(await received(far, 2)).toEqual([bytes(1_000), new Uint8Array(10)])
      })

      test('a part of a larger buffer is sent as that part', async () => {
        const { near, far } = await pair()
        near.send(bytes(1_000).subarray(100, 250))
        expect(await received(far, 1)).toEqual([bytes(1_000).slice(100, 250)])
      })

      test('the largest passes; one byte more throws E_TOO_LARGE and harms nothing', async () => {
        const { near, far } = await pair('bulk')
        expect(() => near.send(new Uint8Array(near.messageBytesMax + 1))).toThrow(
          expect.objectContaining({ code: 'E_TOO_LARGE' }),
        )
        near.send(new Uint8Array(near.messageBytesMax))
        near.send(bytes(3))
        const sizes = (await received(far, 2)).map((message) => message.byteLength)
        expect(sizes).toEqual([near.messageBytesMax, 3])
      })

      test('wait for a listener, also for the next one', async () => {
        const { near, far } = await pair()
        near.send(bytes(1))
        near.send(bytes(2))
        expect(await received(far, 1)).toEqual([bytes(1)])
        near.send(bytes(3))
        expect(await received(far, 2)).toEqual([bytes(2), bytes(3)])
      })

      test('a listener that throws breaks nothing', async () => {
        const { near, far } = await pair()
        let calls = 0
        const done = new Promise<void>((resolve) => {
          far.onMessage(() => {
            calls += 1
            if (calls === 2) resolve()
            throw new Error('thrown by a listener of the test')
          })
        })
        near.send(bytes(1))
        near.send(bytes(1))
        await done
        far.send(bytes(5))
        expect(await received(near, 1)).toEqual([bytes(5)])
      })

      test('back-pressure: what is queued is counted, and its end is told', async () => {
        const { near, far } = await pair('bulk')
        let arrivedBytes = 0
        const total = 4 * 1024 * 1024
        const all = new Promise<void>((resolve) => {
          far.onMessage((message) => {
            arrivedBytes += message.byteLength
            if (arrivedBytes === total) resolve()
          })
        })
        let highest = 0
        for (let sent = 0; sent < total; sent += 65_536) {
          near.send(new Uint8Array(65_536))
          highest = Math.max(highest, near.bufferedBytes)
          if (near.bufferedBytes > 262_144) await drained(near)
        }
        await all
        expect(highest).toBeGreaterThan(65_536)
      })
    })

    describe('closing', () => {
      test('is told once to each end, with its reason', async () => {
        const { near, far } = await pair()
        const [nearReasons, farReasons] = [reasons(near), reasons(far)]
        const told = closed(far)
        near.close()
        near.close()
        expect(await told).toBe('bye')
        expect([nearReasons, farReasons]).toEqual([['closed-here'], ['bye']])
        expect(reasons(near)).toEqual(['closed-here'])
      })

      test('what was sent before arrives first', async () => {
        const { near, far } = await pair()
        const story: string[] = []
        far.onMessage((message) => story.push(`message of ${message.byteLength}`))
        far.onClose((reason) => story.push(reason))
        const told = closed(far)
        near.send(bytes(10))
        near.send(bytes(20))
        near.close()
        await told
        expect(story).toEqual(['message of 10', 'message of 20', 'bye'])
      })

      test('[WP12] also when it is much', async () => {
        const { near, far } = await pair()
        const told = closed(far)
        let gotBytes = 0
        far.onMessage((message) => {
          gotBytes += message.length
        })
        for (let sent = 0; sent < 400; sent++) near.send(new Uint8Array(1_000))
        near.close()
        expect(await told).toBe('bye')
        expect(gotBytes).toBe(400_000)
      })

      test('sending on a closed link does nothing', async () => {
        const { near, far } = await pair()
        const told = closed(far)
        near.close()
        near.send(bytes(1))
        await told
        far.send(bytes(1))
        expect([near.bufferedBytes, far.bufferedBytes]).toEqual([0, 0])
      })

      test('one channel ends without the other', async () => {
        const { room, near, far, dialler, dialled } = await pair('control')
        expect(room).toBeDefined()
        const arrived = new Promise<Link>((resolve) => dialled.onLink(resolve))
        const bulk = await dialler.dial(dialled.address, 'bulk')
        const told = closed(await arrived)
        bulk.close()
        expect(await told).toBe('bye')
        near.send(bytes(4))
        expect(await received(far, 1)).toEqual([bytes(4)])
      })

      test('closing the transport closes its links, and is idempotent', async () => {
        const { near, far, dialler } = await pair()
        const told = [closed(near), closed(far)]
        await Promise.all([dialler.close(), dialler.close()])
        expect(await Promise.all(told)).toEqual(['closed-here', 'bye'])
        expect(dialler.isOnline).toBe(false)
      })
    })
  })
}

interface Pair {
  readonly room: TransportRoom
  readonly dialler: Transport
  readonly dialled: Transport
  readonly near: Link
  readonly far: Link
}

async function connect(room: TransportRoom, channel: LinkChannel): Promise<Pair> {
  const [dialler, dialled] = [room.join(), room.join()]
  const arrived = new Promise<Link>((resolve) => dialled.onLink(resolve))
  await sees(dialler, dialled)
  const near = await dialler.dial(dialled.address, channel)
  return { room, dialler, dialled, near, far: await arrived }
}

function sees(observer: Transport, other: Transport): Promise<void> {
  return new Promise((resolve) => {
    const off = observer.onSeen((address) => {
      if (address !== other.address) return
      off()
      resolve()
    })
  })
}

/** The next `count` messages; stops listening after them. */
function received(link: Link, count: number): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const messages: Uint8Array[] = []
    const off = link.onMessage((message) => {
      messages.push(message)
      if (messages.length < count) return
      off()
      resolve(messages)
    })
    link.onClose((reason) =>
      reject(new Error(`The link closed after ${messages.length} messages: ${reason}`)),
    )
  })
}

function drained(link: Link): Promise<void> {
  return new Promise((resolve) => {
    const off = link.onDrain(() => {
      off()
      resolve()
    })
  })
}

function closed(link: Link): Promise<CloseReason> {
  return new Promise((resolve) => link.onClose(resolve))
}

function reasons(link: Link): CloseReason[] {
  const told: CloseReason[] = []
  link.onClose((reason) => told.push(reason))
  return told
}

/** Bytes that a mix-up would show in. */
function bytes(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => (size * 31 + at * 7) & 255)
}

/** Comparing long arrays element by element takes seconds. */
function digest(message: Uint8Array): string {
  let sum = 0
  for (const byte of message) sum = (Math.imul(sum, 31) + byte) | 0
  return `${message.byteLength} bytes with sum ${sum}`
}

function at(links: readonly Link[], index: number): Link {
  const link = links[index]
  if (link === undefined) throw new Error(`No link at ${index}`)
  return link
}
