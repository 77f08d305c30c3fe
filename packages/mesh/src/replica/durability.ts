import { type Clock, type PeerId, type ReplicaNetwork, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import type { DocumentName } from './document.ts'
import type { Documents } from './documents.ts'
import type { ReplicaLimits } from './limits.ts'
import { encodeReplicaMessage, type HoldEntry, type ReplicaMessage } from './protocol.ts'

export interface DurabilityOptions {
  readonly clock: Clock
  readonly network: ReplicaNetwork
  readonly documents: Documents
  readonly limits: ReplicaLimits
}

/** Finds out whether other members have what this one has. Costs nothing while nobody wants to know. */
export interface Durability {
  /**
   * Resolves when one other member has all that these documents hold now.
   * @throws ShoalError `E_CLOSED`
   */
  whenHeld(names: readonly DocumentName[]): Promise<void>
  /** Asks a member that has just come. */
  ask(peer: PeerId): void
  answer(from: PeerId, question: Extract<ReplicaMessage, { readonly type: 'hold' }>): void
  held(id: number): void
  close(): void
}

interface Question {
  readonly entries: readonly HoldEntry[]
  resolve(): void
  reject(error: ShoalError): void
}

export function createDurability({ clock, network, documents, limits }: DurabilityOptions): Durability {
  const questions = new Map<number, Question>()
  let nextId = 1
  let cancelTimer: (() => void) | null = null
  let isClosed = false

  function send(to: PeerId, id: number, { entries }: Question): void {
    network.send(to, encodeReplicaMessage({ type: 'hold', id, entries }))
  }

  /** Members answer only once they have it all: until one does they are asked again. */
  function arm(): void {
    if (questions.size === 0) return
    cancelTimer ??= clock.setTimer(clock.now() + limits.syncTimeoutMs, () => {
      cancelTimer = null
      for (const [id, question] of questions) for (const peer of network.members()) send(peer, id, question)
      arm()
    })
  }

  return {
    whenHeld(names) {
      if (isClosed) return Promise.reject(closedError())
      const entries = names.flatMap((name) => {
        const document = documents.get(name)
        return document === undefined ? [] : [{ name, state: Y.encodeStateVector(document.doc) }]
      })
      if (entries.length === 0) return Promise.resolve()
      return new Promise((resolve, reject) => {
        const question = { entries, resolve, reject }
        const id = nextId++
        questions.set(id, question)
        for (const peer of network.members()) send(peer, id, question)
        arm()
      })
    },
    ask(peer) {
      for (const [id, question] of questions) send(peer, id, question)
    },
    answer(from, { id, entries }) {
      const isHeld = entries.every(
        ({ name, state }) => documents.isDropped(name) || has(documents, name, state),
      )
      if (isHeld) network.send(from, encodeReplicaMessage({ type: 'held', id }))
    },
    held(id) {
      questions.get(id)?.resolve()
      questions.delete(id)
    },
    close() {
      isClosed = true
      cancelTimer?.()
      for (const { reject } of questions.values()) reject(closedError())
      questions.clear()
    },
  }
}

function closedError(): ShoalError {
  const text = 'Cannot say that work is durable as the mesh must be open: current value is closed'
  return new ShoalError('E_CLOSED', text)
}

function has(documents: Documents, name: DocumentName, state: Uint8Array): boolean {
  const document = documents.get(name)
  if (document === undefined) return false
  let wanted: Map<number, number>
  try {
    wanted = Y.decodeStateVector(state)
  } catch (cause) {
    throw new ShoalError('E_CRDT_UPDATE', `Cannot answer for "${name}" as its state vector is malformed`, {
      cause,
    })
  }
  for (const [client, clock] of wanted) if (Y.getState(document.doc.store, client) < clock) return false
  return true
}
