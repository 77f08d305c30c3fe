import { type JobId, PackedPayload, ShoalError } from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { TaskFailedError } from '../errors.ts'
import {
  type Apart,
  errorFromRecord,
  errorToRecord,
  type HandleCodec,
  type HandleRef,
  isCloneSafe,
  LivePayload,
  packValue,
  payloadValue,
  takeApart,
  unpackValue,
} from './index.ts'
import { errorMessageCharsMax, valueDepthMax } from './limits.ts'

const roundTrip = (value: unknown): unknown => unpackValue(packValue(value))

function caught(body: () => unknown): ShoalError {
  try {
    body()
  } catch (error) {
    expect(error).toBeInstanceOf(ShoalError)
    return error as ShoalError
  }
  throw new Error('expected a throw')
}

describe('packValue() and unpackValue()', () => {
  const values: [string, unknown][] = [
    [
      'scalars',
      [
        0,
        -0,
        1,
        -1,
        1.5,
        2 ** 31,
        2 ** 53,
        -(2 ** 40),
        Number.NaN,
        Number.POSITIVE_INFINITY,
        'é€😀',
        '',
        true,
        null,
      ],
    ],
    ['undefined', [undefined, { a: undefined }]],
    ['bigint', [0n, -1n, 2n ** 70n, -(2n ** 200n)]],
    [
      'map',
      new Map<unknown, unknown>([
        [{ a: 1 }, [1, [2]]],
        ['k', new Map([[1, 2n]])],
      ]),
    ],
    ['set', new Set([1, 'a', [2]])],
    ['date', [new Date(0), new Date(1_700_000_000_123), new Date(Number.NaN)]],
    ['regexp', /a+\/b/giu],
    ['nested', { a: [{ b: { c: [1, 2, { d: 'x' }] } }], constructor: 'c', toJSON: 1, 7: 'seven' }],
    [
      'typed arrays',
      [new Float64Array([1.5, -0]), new Uint8Array([1, 2]), new BigInt64Array([-5n]), new Int16Array(0)],
    ],
    ['buffers', [new Uint8Array([7, 8, 9]).buffer, new DataView(new Uint8Array([1, 2]).buffer)]],
  ]
  test.each(values)('keep %s', (_name, value) => {
    expect(roundTrip(value)).toStrictEqual(value)
  })

  const large = 40_000
  test.each([
    ['one', (part: Uint8Array) => part],
    ['a view of a larger buffer', (part: Uint8Array) => new Float64Array(part.buffer, 8, 4500)],
    [
      'several among small ones',
      (part: Uint8Array) => [1, part, 'x', part.slice(1), [part.buffer, new Map([[1, part]])]],
    ],
    ['one beside an error', (part: Uint8Array) => ({ part, error: new Error('no') })],
  ])('[WP9] keep large parts: %s', (_name, make) => {
    const value = make(Uint8Array.from({ length: large }, (_, i) => i % 251))
    expect(roundTrip(value)).toStrictEqual(value)
    const apart = takeApart(packValue(value)) as Apart
    expect(apart.rest.length).toBeLessThan(2_000)
    expect(unpackValue(apart)).toStrictEqual(value)
  })

  test('large parts are copied once when they are read, and not at all when they were taken apart', () => {
    const bytes = packValue(new Uint8Array(large).fill(7))
    const whole = unpackValue(bytes) as Uint8Array
    bytes.fill(0)
    expect(whole).toStrictEqual(new Uint8Array(large).fill(7))
    expect(whole.buffer.byteLength).toBe(large)
    const apart = takeApart(packValue(whole)) as Apart
    expect((unpackValue(apart) as Uint8Array).buffer).toBe(apart.parts[0])
  })

  test('an error with large bytes that cannot travel keeps the order of what follows it', () => {
    const detail = { bytes: new Uint8Array(large).fill(1), later: () => {} }
    const error = Object.assign(new Error('x'), { detail })
    const [back, after] = roundTrip([error, new Uint8Array(large).fill(2)]) as [Error, Uint8Array]
    expect(back.message).toBe('x')
    expect(after).toStrictEqual(new Uint8Array(large).fill(2))
  })

  test.each([
    ['cut off in its head', (bytes: Uint8Array) => bytes.subarray(0, 6)],
    ['cut off in a part', (bytes: Uint8Array) => bytes.subarray(0, -1)],
    ['longer than its parts', (bytes: Uint8Array) => new Uint8Array([...bytes, 0])],
    ['of more parts than there are', (bytes: Uint8Array) => bytes.with(5, 255)],
    ['of a rest longer than all', (bytes: Uint8Array) => bytes.with(1, 255)],
    ['of a part longer than all', (bytes: Uint8Array) => bytes.with(9, 255)],
    ['that names no part', (bytes: Uint8Array) => bytes.slice(0, 9).with(8, 0)],
  ])('[WP9] refuse bytes %s', (_name, spoil) => {
    const bytes = packValue([new Uint8Array(large), new Uint8Array(large)])
    expect(caught(() => unpackValue(spoil(bytes))).code).toBe('E_BAD_PAYLOAD')
  })

  test('[WP9] refuse a part that is named twice, or out of turn', () => {
    const { rest, parts } = takeApart(packValue([new Uint8Array(large), new Uint8Array(large)])) as Apart
    const at = rest.lastIndexOf(1)
    expect(caught(() => unpackValue({ rest: rest.with(at, 0), parts })).code).toBe('E_BAD_PAYLOAD')
    expect(caught(() => unpackValue({ rest, parts: parts.slice(1) })).code).toBe('E_BAD_PAYLOAD')
  })

  test('align typed arrays and share nothing with the bytes', () => {
    const bytes = packValue(['x', new Float64Array([Math.PI, 2])])
    const [, numbers] = unpackValue(bytes) as [string, Float64Array]
    expect(numbers).toBeInstanceOf(Float64Array)
    expect(numbers[0]).toBe(Math.PI)
    bytes.fill(0)
    expect(numbers[1]).toBe(2)
    expect(numbers.buffer.byteLength).toBe(16)
  })

  test('take only what a view shows', () => {
    const whole = new Uint8Array(1000)
    expect(packValue(whole.subarray(3, 5)).byteLength).toBeLessThan(20)
  })

  test('give bytes of their own, which may be transferred away', () => {
    const first = packValue([1, 2, 3])
    structuredClone(first, { transfer: [first.buffer as ArrayBuffer] })
    expect(roundTrip(['after'])).toEqual(['after'])
  })

  test('keep an own __proto__ key and harm no prototype', () => {
    const value = roundTrip(JSON.parse('{"__proto__": {"isAdmin": true}, "b": 1}')) as object
    expect(Object.keys(value)).toEqual(['__proto__', 'b'])
    expect('isAdmin' in value).toBe(false)
    expect('isAdmin' in {}).toBe(false)
  })

  test('make plain objects of instances', () => {
    class Point {
      x = 1
      #secret = 2
      get sum(): number {
        return this.x + this.#secret
      }
    }
    expect(roundTrip({ p: new Point() })).toStrictEqual({ p: { x: 1 } })
  })

  const cycle: { self?: unknown } = {}
  cycle.self = [cycle]
  const transferred = new Uint8Array(8)
  structuredClone(transferred, { transfer: [transferred.buffer] })
  const refused: [string, unknown, string, RegExp][] = [
    ['functions', { a: [0, 1, 2, { b: () => 1 }] }, '$.a[3].b', /function b/],
    ['symbols', [Symbol('s')], '$[0]', /a symbol/],
    ['cycles', { x: cycle }, '$.x.self[0]', /cycle/],
    ['promises', { p: Promise.resolve() }, '$.p', /Promise/],
    ['weak maps', [new WeakMap()], '$[0]', /WeakMap/],
    [
      'transferred buffers',
      { 'a b': new DataView(new ArrayBuffer(1)), t: transferred.buffer },
      '$.t',
      /transferred/,
    ],
    [
      'getters that throw',
      {
        get bad(): number {
          throw new Error('no')
        },
      },
      '$.bad',
      /getter/,
    ],
  ]
  test.each(refused)('refuse %s by their path', (_name, value, path, found) => {
    const error = caught(() => packValue(value))
    expect(error.code).toBe('E_NOT_SERIALIZABLE')
    expect(error.data['path']).toBe(path)
    expect(error.message).toMatch(found)
  })

  test('refuse what is nested too deep, and take what is just not', () => {
    let value: unknown = 1
    for (let level = 0; level < valueDepthMax; level++) value = [value]
    expect(packValue(value).byteLength).toBe(valueDepthMax + 1)
    expect(caught(() => packValue([value])).message).toMatch(/deeper/)
  })

  test('name the right path after a nested value was left', () => {
    const value = { deep: { er: [[1]] }, bad: Symbol('x') }
    expect(caught(() => packValue(value)).data['path']).toBe('$.bad')
  })

  test.each([
    ['nothing', []],
    ['half a value', [0x93, 1]],
    ['an unknown tag', [0xd4, 0x53, 0, 0x92, 99, 1]],
    ['a misaligned array', [0xd4, 0x53, 0, 0x92, 26, 0xc4, 3, 1, 2, 3]],
    ['a length that lies', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['a bomb of depth', Array.from({ length: 100_000 }, () => 0x91)],
  ])('refuse bytes that are %s', (_name, bytes) => {
    expect(caught(() => unpackValue(new Uint8Array(bytes))).code).toBe('E_BAD_PAYLOAD')
  })

  test('carry handles as references', () => {
    class Handle {
      readonly ref: HandleRef
      constructor(ref: HandleRef) {
        this.ref = ref
      }
    }
    const codec: HandleCodec = {
      isHandle: (value) => value instanceof Handle,
      toRef: (handle) => (handle as Handle).ref,
      fromRef: (ref) => new Handle(ref),
    }
    const ref = { job: 'j1' as JobId, no: 3 }
    const bytes = packValue({ list: [new Handle(ref)] }, codec)
    expect(unpackValue(bytes, codec)).toEqual({ list: [new Handle(ref)] })
    expect(unpackValue(bytes, null)).toEqual({ list: [ref] })
    const service = new Handle({ service: 's1' })
    expect(unpackValue(packValue([service], codec), codec)).toEqual([service])
  })
})

describe('errors inside values', () => {
  test('keep class, code, cause and fields', () => {
    const cause = new RangeError('inner')
    const error = Object.assign(new TypeError('outer', { cause }), { code: 'ENOENT', path: '/x', f: () => 1 })
    const back = (roundTrip([error]) as [TypeError & { code: string; path: string }])[0]
    expect(back).toBeInstanceOf(TypeError)
    expect(back).toMatchObject({ message: 'outer', code: 'ENOENT', path: '/x' })
    expect(back.cause).toBeInstanceOf(RangeError)
    expect(back.stack).toBe(error.stack)
    expect('f' in back).toBe(false)
  })

  test('keep an AggregateError with its errors', () => {
    const back = roundTrip(new AggregateError([new Error('a'), 'b'], 'many')) as AggregateError
    expect(back).toBeInstanceOf(AggregateError)
    expect(back.errors[0]).toMatchObject({ message: 'a' })
    expect(back.errors[1]).toBe('b')
  })
})

describe('errorToRecord() and errorFromRecord()', () => {
  test('keep what users branch on', () => {
    const error = new TaskFailedError(
      'E_TASK_TIMEOUT',
      'late',
      { taskId: 'j/1', originTaskId: 'j/0', peerId: 'p', attempts: 2 },
      { cause: new Error('root'), story: ['one', 'two'], data: { a: 1 } },
    )
    const back = errorFromRecord(errorToRecord(error))
    expect(back).toBeInstanceOf(TaskFailedError)
    expect(back).toBeInstanceOf(ShoalError)
    expect(back).toMatchObject({
      code: 'E_TASK_TIMEOUT',
      originTaskId: 'j/0',
      attempts: 2,
      story: ['one', 'two'],
    })
    expect(back.cause).toMatchObject({ message: 'root' })
  })

  test('keep names of own classes and numeric codes', () => {
    class OwnError extends Error {
      override name = 'OwnError'
      code = 42
    }
    const back = errorFromRecord(errorToRecord(new OwnError('m')))
    expect(back.name).toBe('OwnError')
    expect(back).toMatchObject({ code: 42 })
    expect(String(back)).toBe('OwnError: m')
  })

  test('cut long messages and chains of causes', () => {
    expect(errorToRecord(new Error('x'.repeat(100_000))).message.length).toBe(errorMessageCharsMax)
    const loop = new Error('loop')
    loop.cause = loop
    let depth = 0
    for (let record = errorToRecord(loop).cause; record !== null; record = record.cause) depth += 1
    expect(depth).toBe(8)
  })

  test('survive errors whose getters throw', () => {
    const error = Object.defineProperty(new Error('m'), 'message', {
      get() {
        throw new Error('gotcha')
      },
    })
    expect(errorToRecord(error).message).toMatch(/no message/)
    const hostile = new Proxy(new Error('p'), {
      get() {
        throw new Error('no')
      },
      getPrototypeOf() {
        throw new Error('no')
      },
      ownKeys() {
        throw new Error('no')
      },
    })
    expect(errorFromRecord(errorToRecord(hostile))).toBeInstanceOf(Error)
  })

  test.each([['a text'], [{ why: 'object' }], [undefined], [null], [7n]])(
    'keep the thrown value %s',
    (value) => {
      const back = errorFromRecord(errorToRecord(value))
      expect(back).toBeInstanceOf(Error)
      expect(back).toHaveProperty('value', value)
      const outer = errorFromRecord(errorToRecord(new Error('o', { cause: value })))
      if (value !== undefined) expect(outer.cause).toEqual(value)
    },
  )
})

describe('payloads', () => {
  test('LivePayload packs once and on demand', () => {
    let reads = 0
    const payload = new LivePayload({
      get a() {
        reads += 1
        return 1
      },
    })
    expect(reads).toBe(0)
    const bytes = payload.pack()
    const readsOnce = reads
    expect(payload.pack()).toBe(bytes)
    expect(reads).toBe(readsOnce)
    expect(payloadValue(new PackedPayload(bytes))).toEqual({ a: 1 })
  })

  test('isCloneSafe() takes plain data only', () => {
    expect(isCloneSafe([1, { a: new Map([[1, new Set(['x'])]]) }, new Float64Array(2), new Date(), 1n])).toBe(
      true,
    )
    for (const value of [
      () => 1,
      Symbol('x'),
      new Error('e'),
      new (class A {})(),
      new Uint8Array(9).subarray(1),
    ]) {
      expect(isCloneSafe([value])).toBe(false)
    }
  })
})
