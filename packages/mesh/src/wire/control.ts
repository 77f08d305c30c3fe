import { type ChunkId, type OperationHash, type PeerId, type PeerRole, ShoalError } from '@shoal/scheduler'
import type { Wanted } from '../chunks/wanted.ts'
import { limits } from '../limits.ts'
import { packBody, unpackBody } from './body.ts'
import { readUint32, writeUint32 } from './frames.ts'
import {
  asBoolean,
  asBytes,
  asId,
  asNumber,
  asOperationHash,
  asPeerId,
  asRole,
  asText,
  asTuple,
  asUint,
  schemaError,
} from './validate.ts'
import { asFlat } from './values.ts'

/** Where a peer can be dialled, as others tell it. A hint, never a fact. */
export interface AddressHint {
  readonly address: string
  readonly role: PeerRole
}

/** The text of an operation on its way; its hash is the receiver's to check. */
export interface OperationText {
  readonly name: string
  readonly source: string
  readonly exportName: string
}

/** What one side of a bulk link says of it over the control link. */
export interface BulkTicket {
  readonly token: Uint8Array
  readonly localFingerprint: string | null
  readonly remoteFingerprint: string | null
}

export const emptyBody: Uint8Array = packBody([])

export function readTime(body: Uint8Array): number {
  const [at] = asTuple(unpackBody(body), 1, 'a heartbeat')
  return asNumber(at, 'the time of a heartbeat', 0, Number.MAX_SAFE_INTEGER)
}

export function readProbe(body: Uint8Array): PeerId {
  const [peer] = asTuple(unpackBody(body), 1, 'a probe')
  return asPeerId(peer, 'the peer of a probe')
}

export function readProbed(body: Uint8Array): { readonly peer: PeerId; readonly isAlive: boolean } {
  const [peer, isAlive] = asTuple(unpackBody(body), 2, 'the answer to a probe')
  return { peer: asPeerId(peer, 'the peer of a probe'), isAlive: asBoolean(isAlive, 'isAlive') }
}

export function readRefused(body: Uint8Array): {
  readonly code: string
  readonly message: string
  readonly epoch: number | null
} {
  const [code, message, epoch] = asTuple(unpackBody(body), 3, 'a refusal')
  return {
    code: asId(code, 'the code of a refusal'),
    message: asText(message, 'the message of a refusal'),
    epoch: epoch === null ? null : asUint(epoch, 'an epoch'),
  }
}

export function writePeers(hints: readonly AddressHint[]): Uint8Array {
  return packBody(hints.slice(0, limits.gossipMax).flatMap((hint) => [hint.address, hint.role]))
}

export function readPeers(body: Uint8Array): readonly AddressHint[] {
  const flat = asFlat(unpackBody(body), 2, 'addresses').slice(0, limits.gossipMax * 2)
  const hints: AddressHint[] = []
  for (let at = 0; at < flat.length; at += 2) {
    hints.push({ address: asId(flat[at], 'an address'), role: asRole(flat[at + 1], 'a role') })
  }
  return hints
}

export function readWanted(body: Uint8Array): { readonly request: number; readonly hash: OperationHash } {
  const [request, hash] = asTuple(unpackBody(body), 2, 'a request for code')
  return { request: asUint(request, 'the number of a request'), hash: asOperationHash(hash, 'an operation') }
}

export function writeOperation(request: number, text: OperationText | null): Uint8Array {
  return packBody([request, text === null ? null : [text.name, text.source, text.exportName]])
}

export function readOperation(body: Uint8Array): {
  readonly request: number
  readonly text: OperationText | null
} {
  const [request, content] = asTuple(unpackBody(body), 2, 'an operation')
  const number = asUint(request, 'the number of a request')
  if (content === null) return { request: number, text: null }
  const [name, source, exportName] = asTuple(content, 3, 'the text of an operation')
  if (typeof source === 'string' && source.length > limits.sourceCharsMax) {
    throw new ShoalError(
      'E_TOO_LARGE',
      `Cannot take code as its length must be at most ${limits.sourceCharsMax}: current value is ${source.length}`,
    )
  }
  return {
    request: number,
    text: {
      name: asText(name, 'the name of an operation'),
      source: asText(source, 'the source of an operation', limits.sourceCharsMax),
      exportName: asId(exportName, 'the export of an operation'),
    },
  }
}

export function writeTicket(ticket: BulkTicket): Uint8Array {
  return packBody([ticket.token, ticket.localFingerprint, ticket.remoteFingerprint])
}

export function readTicket(body: Uint8Array): BulkTicket {
  const [token, local, remote] = asTuple(unpackBody(body), 3, 'a bulk ticket')
  return {
    token: asBytes(token, 'a token', 16),
    localFingerprint: local === null ? null : asText(local, 'a fingerprint'),
    remoteFingerprint: remote === null ? null : asText(remote, 'a fingerprint'),
  }
}

export function writeWantedPiece({ request, id, hash, index }: Wanted, via: PeerId | null): Uint8Array {
  return packBody([request, id, hash, index, via])
}

export function readWantedPiece(body: Uint8Array): { readonly wanted: Wanted; readonly via: PeerId | null } {
  const [request, id, hash, index, via] = asTuple(unpackBody(body), 5, 'a request for a piece')
  const wanted = {
    request: asUint(request, 'the number of a request', 2 ** 32 - 1),
    id: asId(id, 'a chunk') as ChunkId,
    hash: asBytes(hash, 'the hash of a chunk', 32),
    index: index === null ? null : asUint(index, 'the index of a piece'),
  }
  return { wanted, via: via === null ? null : asPeerId(via, 'the holder of a chunk') }
}

/** In front of a piece: the number of its request, and whether it is here. */
export const pieceHeaderBytes = 5

/** What stands in front of a piece's bytes. */
export function writePieceHead(request: number, isHere: boolean): Uint8Array {
  const head = new Uint8Array(pieceHeaderBytes)
  writeUint32(head, 0, request)
  head[4] = isHere ? 1 : 0
  return head
}

export function readPiece(body: Uint8Array): { readonly request: number; readonly bytes: Uint8Array | null } {
  const kind = body[4]
  if (kind === undefined || kind > 1 || (kind === 0 && body.length > pieceHeaderBytes))
    throw schemaError('a piece', 'a request, 0 or 1, and bytes after a 1', body)
  return { request: readUint32(body, 0), bytes: kind === 0 ? null : body.subarray(pieceHeaderBytes) }
}

export function readCredit(body: Uint8Array): {
  readonly takenBytes: number
  readonly lastTransfer: number
} {
  const [takenBytes, lastTransfer] = asTuple(unpackBody(body), 2, 'a credit')
  return {
    takenBytes: asUint(takenBytes, 'the bytes of a credit'),
    lastTransfer: asUint(lastTransfer, 'the transfer of a credit'),
  }
}
