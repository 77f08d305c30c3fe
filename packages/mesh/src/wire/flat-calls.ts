import {
  type CallerId,
  FlatReader,
  FlatWriter,
  flatHeadBytesMax,
  flatNumberBytesMax,
  HoldingPayload,
  type MessageOf,
  PackedPayload,
  type Payload,
  type ServiceCall,
  type ServiceId,
  type ServiceMessageOf,
  type ServiceReply,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { frameHeaderBytes } from './frames.ts'
import { messageCodes } from './messages.ts'
import { serviceCodes } from './services.ts'

/*
 * Calls of services and their replies, the short way: see `FlatWriter`.
 */

const writer = new FlatWriter(65_536)
const reader = new FlatReader()
const noServices: readonly ServiceId[] = Object.freeze([])
/** Five levels of lists, and the numbers in them. */
const restBytesMax = 64

/**
 * The frame, with room for its header, of a body with this one message.
 * @returns `null`: the general way has to take it
 */
export function writeFlatCalls({ service, body }: MessageOf<'service'>): Uint8Array | null {
  if (body.type === 'call') return writeCalls(service, body)
  return body.type === 'replies' ? writeReplies(service, body) : null
}

function writeCalls(
  service: ServiceId,
  { caller, open, calls }: ServiceMessageOf<'call'>,
): Uint8Array | null {
  let bytes = restBytesMax + service.length + caller.length
  for (const { method, args, via } of calls) {
    if (via.length > 0 || !isPlain(args)) return null
    bytes += flatNumberBytesMax + 2 * flatHeadBytesMax + 1 + method.length + args.bytes.length
  }
  if (bytes > limits.batchBytes) return null
  writer.start(bytes, frameHeaderBytes)
  writeHead(service, 4, serviceCodes.call, caller)
  writer.uint(open)
  writer.list(calls.length * 4)
  for (const { no, method, args } of calls) {
    writer.uint(no)
    writer.text(method)
    writer.binary((args as PackedPayload).bytes)
    // Via nobody.
    writer.uint(0)
  }
  return writer.end()
}

function writeReplies(
  service: ServiceId,
  { caller, replies }: ServiceMessageOf<'replies'>,
): Uint8Array | null {
  let bytes = restBytesMax + service.length + caller.length
  for (const { outcome } of replies) {
    if (outcome.status !== 'done' || !isPlain(outcome.value)) return null
    bytes += flatNumberBytesMax + flatHeadBytesMax + outcome.value.bytes.length
  }
  if (bytes > limits.batchBytes) return null
  writer.start(bytes, frameHeaderBytes)
  writeHead(service, 3, serviceCodes.replies, caller)
  writer.list(replies.length * 2)
  for (const { no, outcome } of replies) {
    writer.uint(no)
    if (outcome.status === 'done') writer.binary((outcome.value as PackedPayload).bytes)
  }
  return writer.end()
}

/** The bytes of a value, and nothing that has to be said besides. */
function isPlain(payload: Payload): payload is PackedPayload {
  return payload instanceof PackedPayload && !(payload instanceof HoldingPayload)
}

/** A byte that no MessagePack begins with: a reference to a chunk, or a value that names some. */
function isMarked(bytes: Uint8Array): boolean {
  return bytes[0] === 0xc1
}

function writeHead(service: ServiceId, fields: number, code: number, caller: CallerId): void {
  writer.longList(1)
  writer.list(3)
  writer.uint(messageCodes.service)
  writer.text(service)
  writer.list(fields)
  writer.uint(code)
  writer.text(caller)
}

/** Texts of the message before: most messages are about the same service, and some of the same method. */
let lastService = ''
let lastCaller = ''
let lastMethod = ''

/**
 * Reads a body that holds calls or replies and nothing else.
 * @returns `null`: it is something else, or not good; the general reader says which
 */
export function readFlatCalls(bytes: Uint8Array): MessageOf<'service'> | null {
  reader.start(bytes)
  if (reader.longList() !== 1 || reader.list() !== 3 || reader.uint() !== messageCodes.service) return null
  const service = reader.text(lastService) as ServiceId
  const fields = reader.list()
  const code = reader.uint()
  const isCall = code === serviceCodes.call && fields === 4
  if (!isCall && (code !== serviceCodes.replies || fields !== 3)) return null
  const caller = reader.text(lastCaller) as CallerId
  if (reader.isOdd) return null
  lastService = service
  lastCaller = caller
  const body = isCall ? readCalls(caller) : readReplies(caller)
  return body !== null && reader.end() ? { type: 'service', service, body } : null
}

function readCalls(caller: CallerId): ServiceMessageOf<'call'> | null {
  const open = reader.uint()
  const items = reader.list()
  if (items % 4 !== 0 || items > limits.batchEntriesMax * 4) return null
  const calls: ServiceCall[] = []
  for (let left = items; left > 0 && !reader.isOdd; left -= 4) {
    const no = reader.uint()
    const method = reader.text(lastMethod)
    const args = reader.binary()
    if (reader.uint() !== 0 || isMarked(args)) return null
    calls.push({ no, method, args: new PackedPayload(args), via: noServices })
    if (!reader.isOdd) lastMethod = method
  }
  return { type: 'call', caller, open, calls }
}

function readReplies(caller: CallerId): ServiceMessageOf<'replies'> | null {
  const items = reader.list()
  if (items % 2 !== 0 || items > limits.batchEntriesMax * 2) return null
  const replies: ServiceReply[] = []
  for (let left = items; left > 0 && !reader.isOdd; left -= 2) {
    const no = reader.uint()
    const value = reader.binary()
    if (isMarked(value)) return null
    replies.push({ no, outcome: { status: 'done', value: new PackedPayload(value) } })
  }
  return { type: 'replies', caller, replies }
}
