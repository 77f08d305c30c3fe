import fc from 'fast-check'
import { packBody, unpackBody } from '../../packages/mesh/src/wire/body.ts'

/** A value that a field may not expect. */
const strange: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e300,
  '',
  'x',
  '__proto__',
  'x'.repeat(3_000),
  '\ud800',
  'peer-1/worker/0',
  new Uint8Array(0),
  new Uint8Array(70).fill(0x73),
  Uint8Array.of(0xdd, 255, 255, 255, 255),
  [],
  [[[[[[[[[[]]]]]]]]]],
  [0, 0, 0],
  { a: 1 },
]

/** How one value is spoilt: by bytes, or by a node of its structure. */
export interface Mutation {
  readonly kind: 'flip' | 'insert' | 'delete' | 'repeat' | 'cut' | 'replace' | 'drop' | 'double' | 'swap'
  /** Where, as a fraction of the whole. */
  readonly at: number
  readonly to: number
  readonly byte: number
}

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'insert', 'delete', 'repeat', 'cut', 'replace', 'drop', 'double', 'swap'),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  to: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  byte: fc.integer({ min: 0, max: 255 }),
})

export const mutations: fc.Arbitrary<Mutation[]> = fc.array(mutation, { minLength: 1, maxLength: 4 })

/** Spoils bytes as they are. */
export function spoilBytes(bytes: Uint8Array, list: readonly Mutation[]): Uint8Array {
  let spoilt = [...bytes]
  for (const { kind, at, to, byte } of list) {
    const start = Math.floor(at * (spoilt.length + 1))
    const end = Math.min(spoilt.length, start + 1 + Math.floor(to * 16))
    if (kind === 'cut') spoilt = spoilt.slice(0, start)
    else if (kind === 'insert') spoilt.splice(start, 0, byte)
    else if (kind === 'delete' || kind === 'drop') spoilt.splice(start, end - start)
    else if (kind === 'repeat' || kind === 'double') spoilt.splice(start, 0, ...spoilt.slice(start, end))
    else if (start < spoilt.length)
      spoilt[start] = kind === 'flip' ? (spoilt[start] as number) ^ (1 << (byte & 7)) : byte
  }
  return Uint8Array.from(spoilt)
}

/** Spoils a packed body as a structure: what comes out is good MessagePack of bad content. */
export function spoilBody(body: Uint8Array, list: readonly Mutation[]): Uint8Array {
  const root: unknown[] = [unpackBody(body)]
  for (const { kind, at, to, byte } of list) {
    const places = listPlaces(root)
    const [parent, index] = places[Math.floor(at * places.length)] as Place
    const other = places[Math.floor(to * places.length)] as Place
    if (kind === 'drop' || kind === 'delete') parent.splice(index, 1)
    else if (kind === 'double' || kind === 'repeat') parent.splice(index, 0, structuredClone(parent[index]))
    else if (kind === 'swap') parent[index] = structuredClone(other[0][other[1]])
    else if (kind === 'insert') parent.splice(index, 0, strange[byte % strange.length])
    else parent[index] = strange[byte % strange.length]
    if (root.length === 0) root.push(null)
  }
  return packBody(root[0]).slice()
}

type Place = readonly [parent: unknown[], index: number]

function listPlaces(root: unknown[]): readonly Place[] {
  const places: Place[] = []
  const visit = (parent: unknown[]): void => {
    for (let index = 0; index < parent.length && places.length < 400; index++) {
      places.push([parent, index])
      const child = parent[index]
      if (Array.isArray(child)) visit(child)
    }
  }
  visit(root)
  return places
}
