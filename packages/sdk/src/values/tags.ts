/** What a packed extension means. Part of the wire format: never reuse a number. */
export const tag = {
  minusZero: 1,
  bigint: 2,
  date: 3,
  regexp: 4,
  map: 5,
  set: 6,
  error: 7,
  handle: 8,
  /** An object with a key that msgpack readers rename (`__proto__`): flat keys and values. */
  entries: 9,
  /** A handle of a service, by its id. */
  service: 10,
  /** A chunk: its packed reference. */
  chunk: 11,
  /** The first of {@link binaryTypes}. */
  binary: 16,
} as const

/** A part that msgpack itself cannot express, on its way into or out of it. */
export class Tagged {
  readonly tag: number
  readonly body: unknown
  constructor(tag: number, body: unknown) {
    this.tag = tag
    this.body = body
  }
}

interface BinaryType {
  readonly name: string
  readonly bytesPerElement: number
  build(buffer: ArrayBuffer): unknown
}

function view(type: {
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBuffer): unknown
}): BinaryType {
  return { name: type.name, bytesPerElement: type.BYTES_PER_ELEMENT, build: (buffer) => new type(buffer) }
}

/** Kinds of binary data, by number. Part of the wire format: only ever append. */
export const binaryTypes: readonly BinaryType[] = [
  { name: 'ArrayBuffer', bytesPerElement: 1, build: (buffer) => buffer },
  { name: 'DataView', bytesPerElement: 1, build: (buffer) => new DataView(buffer) },
  view(Int8Array),
  view(Uint8Array),
  view(Uint8ClampedArray),
  view(Int16Array),
  view(Uint16Array),
  view(Int32Array),
  view(Uint32Array),
  view(Float32Array),
  view(Float64Array),
  view(BigInt64Array),
  view(BigUint64Array),
]
