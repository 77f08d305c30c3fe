import {
  type Clock,
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  ShoalError,
} from '@shoal/scheduler'
import { toHex } from './membership/bytes.ts'
import { sha256 } from './membership/crypto.ts'
import type { OperationText } from './wire/control.ts'

export interface OperationsOptions {
  readonly clock: Clock
  /** Sends a request; `false`: the peer is not linked. */
  readonly ask: (peer: PeerId, request: number, hash: OperationHash) => boolean
  readonly reply: (peer: PeerId, request: number, text: OperationText | null) => void
  /** Members that may know what the first one asked does not. */
  readonly members: () => readonly PeerId[]
}

/** The store of a room's peer, with the two ends of its requests. */
export interface Operations extends OperationStore {
  onWanted(from: PeerId, request: number, hash: OperationHash): void
  onAnswer(from: PeerId, request: number, text: OperationText | null): void
}

/** Longest wait for one peer's answer, and for all of them, in milliseconds. */
const answerMs = 3_000
const fetchMs = 12_000
/** Pause before everybody is asked again: whoever sent the task may still be adding the code. */
const againMs = 250

interface Request {
  readonly peer: PeerId
  readonly settle: (text: OperationText | null) => void
}

/** The address of a module's export: hex SHA-256 of the source, `#` and the export's name. */
export async function operationHash(source: string, exportName: string): Promise<OperationHash> {
  const digest = await sha256(new TextEncoder().encode(source))
  return `${toHex(digest)}#${exportName}` as OperationHash
}

export function createOperations(options: OperationsOptions): Operations {
  const { clock } = options
  const known = new Map<OperationHash, OperationRecord>()
  const fetching = new Map<OperationHash, Promise<OperationRecord>>()
  const requests = new Map<number, Request>()
  let nextRequest = 1

  function askOne(peer: PeerId, hash: OperationHash): Promise<OperationText | null> {
    return new Promise((resolve) => {
      const number = nextRequest++
      const settle = (text: OperationText | null): void => {
        requests.delete(number)
        cancel()
        resolve(text)
      }
      const cancel = clock.setTimer(clock.now() + answerMs, () => settle(null))
      requests.set(number, { peer, settle })
      if (!options.ask(peer, number, hash)) settle(null)
    })
  }

  async function fetchFrom(hash: OperationHash, from: PeerId): Promise<OperationRecord> {
    const endsAt = clock.now() + fetchMs
    let mismatch: ShoalError | null = null
    for (;;) {
      const others = options.members().filter((peer) => peer !== from)
      for (const peer of [from, ...others]) {
        const local = known.get(hash)
        if (local !== undefined) return local
        const text = await askOne(peer, hash)
        if (text === null) continue
        if ((await operationHash(text.source, text.exportName)) === hash) {
          const record: OperationRecord = { hash, ...text }
          known.set(hash, record)
          return record
        }
        mismatch = hashError(hash, peer)
      }
      if (clock.now() + againMs >= endsAt) throw mismatch ?? noFunction(hash, others.length + 1)
      await new Promise<void>((resolve) => void clock.setTimer(clock.now() + againMs, resolve))
    }
  }

  return {
    add(operation) {
      known.set(operation.hash, operation)
    },
    get: (hash) => known.get(hash) ?? null,
    async fetch(hash, from) {
      const local = known.get(hash)
      if (local !== undefined) return local
      const running = fetching.get(hash)
      if (running !== undefined) return running
      const started = fetchFrom(hash, from).finally(() => fetching.delete(hash))
      fetching.set(hash, started)
      return started
    },
    onWanted(from, request, hash) {
      const record = known.get(hash)
      const text = record && { name: record.name, source: record.source, exportName: record.exportName }
      options.reply(from, request, text ?? null)
    },
    onAnswer(from, request, text) {
      const open = requests.get(request)
      if (open?.peer === from) open.settle(text)
    },
  }
}

function hashError(hash: OperationHash, peer: PeerId): ShoalError {
  return new ShoalError(
    'E_CODE_HASH',
    `Cannot use the code of an operation as its hash must be ${hash}: ${peer} sent something else`,
    { data: { hash, peer } },
  )
}

function noFunction(hash: OperationHash, asked: number): ShoalError {
  return new ShoalError(
    'E_NO_FUNCTION',
    `Cannot run an operation as somebody must have its code: ${asked} peers were asked for ${hash}`,
    { data: { hash } },
  )
}
