import { packBody, unpackBody } from '../wire/body.ts'
import { asBoolean, asBytes, asList, asText, asTuple, asUint, schemaError } from '../wire/validate.ts'

/** How far a replica knows one document. */
export interface DigestEntry {
  readonly name: string
  /** Encoded state vector; `null`: send nothing of this document. */
  readonly state: Uint8Array | null
  readonly deleted: number
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
    default:
      throw schemaError('the type of a replica message', '0 to 4', type)
  }
}

function fieldsOf(message: ReplicaMessage): readonly unknown[] {
  switch (message.type) {
    case 'update':
      return [0, message.name, message.update]
    case 'digest': {
      const { id, from, to, isPartial, wantsDigest, entries } = message
      const rows = entries.map(({ name, state, deleted }) => [name, state, deleted])
      return [1, id, from, to, isPartial, wantsDigest, rows]
    }
    case 'state':
      return [2, message.name, message.update]
    case 'synced':
      return [3, message.id]
    case 'dropped':
      return [4, message.names]
  }
}

function readEntry(value: unknown): DigestEntry {
  const [name, state, deleted] = asTuple(value, 3, 'an entry of a digest')
  return {
    name: asName(name),
    state: state === null ? null : asBytes(state, 'a state vector'),
    deleted: asUint(deleted, 'a number of deletions'),
  }
}

function asName(value: unknown): string {
  return asText(value, 'the name of a document', 300)
}
