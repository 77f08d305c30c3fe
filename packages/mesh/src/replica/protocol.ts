import { packBody, unpackBody } from '../wire/body.ts'
import { asBoolean, asBytes, asList, asText, asTuple, asUint, schemaError } from '../wire/validate.ts'

/** How far a replica knows one document. */
export interface DigestEntry {
  readonly name: string
  /** Encoded state vector; `null`: send nothing of this document. */
  readonly state: Uint8Array | null
  readonly deleted: number
  /** Differs between replicas that hold different signatures, 32 bits; 0 = nothing signed. */
  readonly mark: number
}

/** A document up to a state, as encoded state vector. */
export interface HoldEntry {
  readonly name: string
  readonly state: Uint8Array
}

/** What replicas say to each other. */
export type ReplicaMessage =
  /** What the sender wrote just now, to everybody in its view. */
  | { readonly type: 'update'; readonly name: string; readonly update: Uint8Array }
  /**
   * "This is what I have; send what I lack." Documents outside of `from` (included) to `to` (not
   * included, `''` = no end) are not meant; those inside that are not listed are unknown to the sender,
   * unless `isPartial`: then only the listed ones are meant.
   */
  | {
      readonly type: 'digest'
      readonly id: number
      readonly from: string
      readonly to: string
      readonly isPartial: boolean
      /** Answer with a digest of your own, too. */
      readonly wantsDigest: boolean
      readonly entries: readonly DigestEntry[]
    }
  /** A piece of an answer to a digest. */
  | { readonly type: 'state'; readonly name: string; readonly update: Uint8Array }
  /** The digest was answered. */
  | { readonly type: 'synced'; readonly id: number }
  /** Documents of the digest that ended and were dropped here. */
  | { readonly type: 'dropped'; readonly names: readonly string[] }
  /** "Say so as soon as you have all of this." */
  | { readonly type: 'hold'; readonly id: number; readonly entries: readonly HoldEntry[] }
  /** The answer to `hold`; silence is a "not yet". */
  | { readonly type: 'held'; readonly id: number }

export function encodeReplicaMessage(message: ReplicaMessage): Uint8Array {
  return new Uint8Array(packBody(fieldsOf(message)))
}

/**
 * @throws ShoalError `E_DECODE`, `E_DEPTH` or `E_SCHEMA`
 */
export function decodeReplicaMessage(bytes: Uint8Array): ReplicaMessage {
  const body = unpackBody(bytes)
  const type: unknown = Array.isArray(body) ? body[0] : body
  switch (type) {
    case 0:
    case 2: {
      const [, name, update] = asTuple(body, 3, 'an update')
      return {
        type: type === 0 ? 'update' : 'state',
        name: asName(name),
        update: asBytes(update, 'an update'),
      }
    }
    case 1: {
      const [, id, from, to, isPartial, wantsDigest, entries] = asTuple(body, 7, 'a digest')
      return {
        type: 'digest',
        id: asUint(id, 'the number of a digest'),
        from: asName(from),
        to: asName(to),
        isPartial: asBoolean(isPartial, 'a flag of a digest'),
        wantsDigest: asBoolean(wantsDigest, 'a flag of a digest'),
        entries: asList(entries, 16_384, 'the entries of a digest', readEntry),
      }
    }
    case 3: {
      const [, id] = asTuple(body, 2, 'the end of a sync')
      return { type: 'synced', id: asUint(id, 'the number of a digest') }
    }
    case 4: {
      const [, names] = asTuple(body, 2, 'dropped documents')
      return { type: 'dropped', names: asList(names, 16_384, 'dropped documents', asName) }
    }
    case 5: {
      const [, id, entries] = asTuple(body, 3, 'a question for what is held')
      const read = (value: unknown): HoldEntry => {
        const [name, state] = asTuple(value, 2, 'an entry of a question')
        return { name: asName(name), state: asBytes(state, 'a state vector') }
      }
      return {
        type: 'hold',
        id: asUint(id, 'the number of a question'),
        entries: asList(entries, 16, 'the entries of a question', read),
      }
    }
    case 6: {
      const [, id] = asTuple(body, 2, 'what is held')
      return { type: 'held', id: asUint(id, 'the number of a question') }
    }
    default:
      throw schemaError('the type of a replica message', '0 to 6', type)
  }
}

function fieldsOf(message: ReplicaMessage): readonly unknown[] {
  switch (message.type) {
    case 'update':
      return [0, message.name, message.update]
    case 'digest': {
      const { id, from, to, isPartial, wantsDigest, entries } = message
      const rows = entries.map(({ name, state, deleted, mark }) => [name, state, deleted, mark])
      return [1, id, from, to, isPartial, wantsDigest, rows]
    }
    case 'state':
      return [2, message.name, message.update]
    case 'synced':
      return [3, message.id]
    case 'dropped':
      return [4, message.names]
    case 'hold':
      return [5, message.id, message.entries.map(({ name, state }) => [name, state])]
    case 'held':
      return [6, message.id]
  }
}

function readEntry(value: unknown): DigestEntry {
  const [name, state, deleted, mark] = asTuple(value, 4, 'an entry of a digest')
  return {
    name: asName(name),
    state: state === null ? null : asBytes(state, 'a state vector'),
    deleted: asUint(deleted, 'a number of deletions'),
    mark: asUint(mark, 'the mark of a document', 2 ** 32 - 1),
  }
}

function asName(value: unknown): string {
  return asText(value, 'the name of a document', 300)
}
