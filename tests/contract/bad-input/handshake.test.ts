import type { Link, PeerRole } from '@shoal/scheduler'
import { ShoalError } from '@shoal/scheduler'
import { beforeAll, describe, expect, test } from 'vitest'
import { createInvite, keysOf, type RoomInvites } from '../../../packages/mesh/src/invite.ts'
import { limits } from '../../../packages/mesh/src/limits.ts'
import { fromHex } from '../../../packages/mesh/src/membership/bytes.ts'
import { createIdentity, type Identity, type RoomKeys } from '../../../packages/mesh/src/membership/crypto.ts'
import { shakeHands } from '../../../packages/mesh/src/membership/handshake.ts'
import { build, type Hello, readHello, writeHello } from '../../../packages/mesh/src/membership/hello.ts'
import { createTestClock, type TestClock } from '../../../packages/mesh/src/membership/testing.ts'
import { createLinkPair } from '../../../packages/mesh/src/transport/memory.ts'
import { packBody } from '../../../packages/mesh/src/wire/body.ts'
import { encodeFrame, type FrameType, frameTypes } from '../../../packages/mesh/src/wire/frames.ts'
import type { Remote } from '../../../packages/mesh/src/wire/incoming.ts'
import { createPipe, type Pipe } from '../../../packages/mesh/src/wire/pipe.ts'

const room = 'testing'
let invites: RoomInvites
let alice: Identity
let bob: Identity
let memberKeys: RoomKeys
let contributorKeys: RoomKeys

beforeAll(async () => {
  invites = await createInvite({ url: 'http://127.0.0.1:1', room })
  alice = await createIdentity()
  bob = await createIdentity()
  memberKeys = await keysOf(invites.member)
  contributorKeys = await keysOf(invites.contributor)
})

interface Side {
  readonly identity?: Identity
  readonly keys?: RoomKeys
  readonly role?: PeerRole
  readonly epoch?: number
  readonly room?: string
  readonly random?: (length: number) => Uint8Array
  readonly binding?: Link['binding']
  readonly admit?: (claimed: Remote) => void
}

const freshRandom = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))
const ignore = (): void => {}

function pipeOn(link: Link, clock: TestClock, binding: Link['binding']): Pipe {
  const bound = new Proxy(link, {
    get: (target, key) => {
      if (key === 'binding') return binding
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const reader = { bytesMax: limits.helloBytesMax, framesPerS: 16, onFrame: ignore }
  return createPipe({ link: bound, clock, reader, onRefused: ignore })
}

/** The peer, or the code of the error, or the code that the other side gave with `their ` before it. */
async function outcomeOf(shaken: Promise<Remote>): Promise<string> {
  try {
    return (await shaken).peer
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error
    return error.data['isTheirs'] === true ? `their ${error.code}` : error.code
  }
}

function shake(pipe: Pipe, clock: TestClock, isDialler: boolean, side: Side): Promise<string> {
  return outcomeOf(
    shakeHands({
      pipe,
      isDialler,
      identity: side.identity ?? (isDialler ? alice : bob),
      keys: side.keys ?? (side.role === 'contributor' ? contributorKeys : memberKeys),
      role: side.role ?? 'member',
      epoch: side.epoch ?? 1,
      room: side.room ?? room,
      clock,
      random: side.random ?? freshRandom,
      admit: side.admit ?? ignore,
    }),
  )
}

/** Two real sides. */
async function meet(dialler: Side, answerer: Side): Promise<readonly string[]> {
  const clock = createTestClock()
  const [near, far] = createLinkPair(clock, 'control', 'a', 'b', ignore)
  const both = Promise.all([
    shake(pipeOn(near, clock, dialler.binding ?? null), clock, true, dialler),
    shake(pipeOn(far, clock, answerer.binding ?? null), clock, false, answerer),
  ])
  await clock.advance(limits.helloTimeoutMs + 1_000)
  return both
}

/** A real side against frames of an attacker's making. */
async function attack(frames: (mirror: Link) => void): Promise<string> {
  const clock = createTestClock()
  const [near, far] = createLinkPair(clock, 'control', 'a', 'b', ignore)
  const outcome = shake(pipeOn(near, clock, null), clock, true, {})
  frames(far)
  await clock.advance(limits.helloTimeoutMs + 1_000)
  return outcome
}

async function helloOf(changes: Partial<Hello> = {}): Promise<Uint8Array> {
  const { peer, publicKey } = bob
  const hello: Hello = {
    protocolMin: 1,
    protocolMax: 1,
    build,
    role: 'member',
    peer,
    publicKey,
    nonce: freshRandom(32),
    epoch: 1,
  }
  return writeHello({ ...hello, ...changes })
}

const send = (link: Link, type: FrameType, body: Uint8Array, seq = 0): void =>
  link.send(encodeFrame(type, seq, body))

describe('shakeHands() brings together', () => {
  test('two members', async () => {
    expect(await meet({}, {})).toEqual([bob.peer, alice.peer])
  })
  test('a member and a contributor, whoever dials', async () => {
    expect(await meet({ role: 'contributor' }, {})).toEqual([bob.peer, alice.peer])
    expect(await meet({}, { role: 'contributor' })).toEqual([bob.peer, alice.peer])
  })
  test('two ends of one bound link, however fingerprints are written', async () => {
    const outcomes = await meet(
      { binding: { local: 'aa:01', remote: 'BB:02' } },
      { binding: { local: 'bb:02', remote: 'AA:01' } },
    )
    expect(outcomes).toEqual([bob.peer, alice.peer])
  })
})

describe('[WP4] [WP5] shakeHands() refuses', () => {
  test('[22] silence: E_HELLO_TIMEOUT', async () => {
    expect(await attack(ignore)).toBe('E_HELLO_TIMEOUT')
  })
  test('[23] another room’s key, another room’s name: E_AUTH', async () => {
    const other = await keysOf((await createInvite({ url: 'http://127.0.0.1:1', room })).member)
    expect((await meet({}, { keys: other }))[0]).toMatch(/E_AUTH$/)
    expect((await meet({}, { room: 'elsewhere' }))[0]).toMatch(/E_AUTH$/)
  })
  test('[23] a contributor who says that it is a member: E_AUTH, to members and to contributors', async () => {
    const liar: Side = { role: 'member', keys: contributorKeys }
    expect((await meet({}, liar))[0]).toMatch(/E_AUTH$/)
    expect((await meet({ role: 'contributor' }, liar))[0]).toBe('E_AUTH')
  })
  test('[24] our own nonce, and our own hello, sent back: E_AUTH', async () => {
    const nonce = new Uint8Array(32).fill(7)
    const clock = createTestClock()
    const [near, far] = createLinkPair(clock, 'control', 'a', 'b', ignore)
    const outcome = shake(pipeOn(near, clock, null), clock, true, { random: () => nonce })
    send(far, frameTypes.hello, await helloOf({ nonce }))
    await clock.advance(1_000)
    expect(await outcome).toBe('E_AUTH')
    expect(await attack((link) => void link.onMessage((message) => link.send(message)))).toBe('E_AUTH')
  })
  test('[25] somebody in between, whose two links have other fingerprints: E_CHANNEL_BINDING', async () => {
    const outcomes = await meet(
      { binding: { local: 'AA', remote: 'M1' } },
      { binding: { local: 'BB', remote: 'M2' } },
    )
    expect(outcomes.some((code) => code === 'E_CHANNEL_BINDING')).toBe(true)
    expect(outcomes.every((code) => code.endsWith('E_CHANNEL_BINDING'))).toBe(true)
    const half = await meet({ binding: { local: 'AA', remote: 'BB' } }, {})
    expect(half.every((code) => code.endsWith('E_CHANNEL_BINDING'))).toBe(true)
  })
  test('[26] an id that is not the hash of the key: E_IDENTITY', async () => {
    const hello = await helloOf({ peer: alice.peer })
    expect(await attack((link) => send(link, frameTypes.hello, hello))).toBe('E_IDENTITY')
  })
  test('[26] a signature by another key: E_IDENTITY', async () => {
    const stolen: Identity = { ...bob, sign: (bytes) => alice.sign(bytes) }
    expect((await meet({}, { identity: stolen }))[0]).toBe('E_IDENTITY')
  })
  test('[27] anything else before the proof: E_AUTH_REQUIRED', async () => {
    const hello = await helloOf()
    for (const type of [frameTypes.messages, frameTypes.replica, frameTypes.heartbeat, frameTypes.proof]) {
      expect(await attack((link) => send(link, type, packBody([])))).toBe('E_AUTH_REQUIRED')
    }
    const afterHello = await attack((link) => {
      send(link, frameTypes.hello, hello)
      send(link, frameTypes.messages, packBody([]), 1)
    })
    expect(afterHello).toBe('E_AUTH_REQUIRED')
  })
  test('[28] two contributors: E_FORBIDDEN', async () => {
    const outcomes = await meet({ role: 'contributor' }, { role: 'contributor' })
    expect(outcomes.every((code) => code.endsWith('E_FORBIDDEN'))).toBe(true)
  })
  test('[29] protocol ranges that do not meet: E_VERSION, whatever else the hello holds', async () => {
    const future = packBody([2, 9, 'something', { new: true }].slice(0, 3))
    expect(await attack((link) => send(link, frameTypes.hello, future))).toBe('E_VERSION')
    const range = await helloOf({ protocolMin: 2, protocolMax: 3 })
    expect(await attack((link) => send(link, frameTypes.hello, range))).toBe('E_VERSION')
  })
  test('[32] keys that are short or of small order: E_IDENTITY', async () => {
    const keys = [
      new Uint8Array(31),
      new Uint8Array(32),
      fromHex(`01${'00'.repeat(30)}80`),
      fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85'),
      fromHex(`ed${'ff'.repeat(30)}7f`),
    ]
    for (const publicKey of keys) {
      const hello = await helloOf({ publicKey })
      expect(await attack((link) => send(link, frameTypes.hello, hello))).toBe('E_IDENTITY')
    }
  })
  test('a hello above 1 KiB, and reads the good one after it', async () => {
    const good = await helloOf({ peer: alice.peer })
    const outcome = await attack((link) => {
      send(link, frameTypes.hello, new Uint8Array(limits.helloBytesMax))
      send(link, frameTypes.hello, good, 1)
    })
    expect(outcome).toBe('E_IDENTITY')
  })
  test('whoever `admit` refuses, and the other side learns the code', async () => {
    const admit = (): void => {
      throw new ShoalError('E_EPOCH_STALE', 'Cannot accept', { data: { epoch: 4 } })
    }
    expect(await meet({}, { admit })).toEqual(['their E_EPOCH_STALE', 'E_EPOCH_STALE'])
    expect(await meet({ admit }, { admit })).toEqual(['their E_EPOCH_STALE', 'their E_EPOCH_STALE'])
  })
})

test('readHello() gives back what writeHello() took', async () => {
  const body = await helloOf({ epoch: 2 ** 40 })
  expect(writeHello(readHello(body))).toEqual(body)
  expect(body.length).toBeLessThan(256)
})
