import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { missingCapture, operationFrom, operationHash } from './index.ts'
import { markContext } from './with-context.ts'

declare const factorial: unknown

async function load(
  body: unknown,
): Promise<{ default: (...args: unknown[]) => unknown; takesContext?: boolean }> {
  const { source } = operationFrom(body)
  return import(/* @vite-ignore */ `data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`)
}

describe('operationFrom()', () => {
  const name = 'computed'
  const methods = {
    plain(x: number) {
      return x + 1
    },
    async later(x: number) {
      return x + 1
    },
    async(x: number) {
      return x + 1
    },
    'a b'(x: number) {
      return x + 1
    },
    get(x: number) {
      return x + 1
    },
  }
  const forms: [string, unknown][] = [
    ['an arrow', (x: number) => x + 1],
    ['an async arrow', async (x: number) => x + 1],
    [
      'a function',
      function add(x: number) {
        return x + 1
      },
    ],
    [
      'an async function',
      async function add(x: number) {
        return x + 1
      },
    ],
    ['an arrow with a default', (x: number, one = 1) => x + one],
    ['an arrow that gives an object', (x: number) => Number({ y: x + 1 }.y)],
    [
      'an inner named function',
      (x: number) => {
        const inner = (y: number) => y + 1
        return inner(x)
      },
    ],
    ...Object.entries(methods).map(([key, fn]): [string, unknown] => [`the method ${key}`, fn]),
  ]
  test.each(forms)('makes a module of %s', async (_name, fn) => {
    expect(await (await load(fn)).default(41)).toBe(42)
  })

  test('makes the helper of name-keeping tools available', async () => {
    const kept = new Function(
      'return (x) => { const inner = __name((y) => y + 1, "inner"); return inner(x) }',
    )()
    expect((await load(kept)).default(1)).toBe(2)
  })

  test('reads a function once, and gives equal texts one address', () => {
    const make = () => (x: number) => x * 2
    const first = make()
    expect(operationFrom(first)).toBe(operationFrom(first))
    expect(operationFrom(make()).hash).toBe(operationFrom(first).hash)
    expect(operationFrom(first, { name: 'double' })).toMatchObject({ name: 'double', exportName: 'default' })
    expect(operationFrom(methods.plain)).toMatchObject({ name: 'plain' })
    const { source, hash } = operationFrom(first)
    expect(hash).toBe(`${createHash('sha256').update(source).digest('hex')}#default`)
    expect(operationHash(source, 'other')).not.toBe(hash)
  })

  test('keeps the mark of withContext in the text', async () => {
    const body = (_ctx: unknown, x: number) => x
    const marked = operationFrom(markContext(body))
    expect(marked.hash).not.toBe(operationFrom(body).hash)
    expect((await load(markContext(body))).takesContext).toBe(true)
    expect((await load(body)).takesContext).toBeUndefined()
  })

  test('knows itself by the name that it was given', async () => {
    const record = operationFrom(
      (n: number): number => {
        return n < 2 ? n : (factorial as unknown as (n: number) => number)(n - 1) * n
      },
      { name: 'factorial' },
    )
    const module = await import(
      /* @vite-ignore */ `data:text/javascript;charset=utf-8,${encodeURIComponent(record.source)}`
    )
    expect(module.default(5)).toBe(120)
    expect(operationFrom((x: number) => x, { name: 'await' }).source).not.toContain('const await')
    expect(operationFrom((x: number) => x, { name: 'not in its text' }).name).toBe('not in its text')
  })

  test('takes a module as text', () => {
    const record = operationFrom({ source: 'export const f = () => 1', export: 'f' }, { name: 'one' })
    expect(record).toMatchObject({ name: 'one', exportName: 'f' })
    expect(record.hash.endsWith('#f')).toBe(true)
  })

  class Made {}
  const accessor = Object.getOwnPropertyDescriptor(
    {
      get [name]() {
        return 1
      },
    },
    name,
  )?.get
  const refused: [string, unknown, RegExp][] = [
    ['a native function', Math.max, /native/],
    ['a bound function', methods.plain.bind(null), /bound/],
    ['a class', Made, /class/],
    [
      'a generator',
      function* () {
        yield 1
      },
      /generator/,
    ],
    [
      'an async generator method',
      {
        async *g() {
          yield 1
        },
      }.g,
      /generator/,
    ],
    ['an accessor', accessor, /getter/],
    ['a number', 4, /number/],
    ['null', null, /object/],
  ]
  test.each(refused)('refuses %s', (_name, body, found) => {
    expect(() => operationFrom(body)).toThrow(
      expect.objectContaining({ code: 'E_CODE', message: expect.stringMatching(found) }),
    )
  })
})

describe('missingCapture()', () => {
  test("names what the body lacked, in every engine's words", async () => {
    const outside = Math.random()
    const { default: run } = await load(() => outside)
    let thrown: unknown
    try {
      run()
    } catch (error) {
      thrown = error
    }
    expect(missingCapture(thrown, 'op')).toMatchObject({ code: 'E_CODE', data: { missing: 'outside' } })
    const safari = new ReferenceError("Can't find variable: helper")
    expect(missingCapture(safari, 'op')?.data['missing']).toBe('helper')
    const bundled = missingCapture(new ReferenceError('__vi_import_0__ is not defined'), 'op')
    expect(bundled?.message).toMatch(/an import of its file/)
  })

  test('leaves other errors alone', () => {
    expect(missingCapture(new ReferenceError("Cannot access 'x' before initialization"), 'op')).toBeNull()
    expect(missingCapture(new Error('x is not defined'), 'op')).toBeNull()
    expect(missingCapture('x is not defined', 'op')).toBeNull()
  })
})
