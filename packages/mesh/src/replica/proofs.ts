import { type PeerId, ShoalError } from '@shoal/scheduler'
import * as Y from 'yjs'
import { sha256Hex } from '../membership/sha256.ts'
import { openDocument, type ReplicatedDocument } from './document.ts'
import { ForkError, type Inspection } from './filter.ts'
import { isSeal, nameOf, type Proof, proveJob, proveLane, type ReplicaSigning, unproved } from './seals.ts'
import type { Writers } from './writers.ts'

/** Whether what an update says was written by those that it names. */
export interface Proofs {
  /**
   * @param isDirect `true`: `from` wrote it just now; `false`: it answers a sync
   * @returns a promise when signatures are still to be checked; it rejects as the call throws
   * @throws ShoalError `E_SIGNATURE`
   */
  check(
    document: ReplicatedDocument,
    update: Uint8Array,
    inspection: Inspection,
    from: PeerId,
    isDirect: boolean,
  ): Promise<void> | undefined
}

export function createProofs(signing: ReplicaSigning, writers: Writers): Proofs {
  return new ProofBook(signing, writers)
}

class ProofBook implements Proofs {
  readonly #signing: ReplicaSigning
  readonly #writers: Writers
  /** Signatures that were checked a moment ago, by a hash of all that they are of. */
  readonly #proved = new Set<string>()

  constructor(signing: ReplicaSigning, writers: Writers) {
    this.#signing = signing
    this.#writers = writers
  }

  check(
    document: ReplicatedDocument,
    update: Uint8Array,
    inspection: Inspection,
    from: PeerId,
    isDirect: boolean,
  ): Promise<void> | undefined {
    const proofs = this.#proofsOf(document, update, inspection, from, isDirect)
    const unchecked = proofs.filter((proof) => !this.#proved.has(keyOf(proof)))
    return unchecked.length === 0 ? undefined : this.#prove(document, unchecked)
  }

  /** What vouches for the entries of an update that its sender did not write. */
  #proofsOf(
    document: ReplicatedDocument,
    update: Uint8Array,
    inspection: Inspection,
    from: PeerId,
    isDirect: boolean,
  ): readonly Proof[] {
    if (isDirect) {
      checkSealed(document, inspection, from)
      return []
    }
    const signing = this.#signing
    if (document.kind === 'lane') {
      if (document.key === from) return []
      return asFork(inspection, () => proveLaneUpdate(document, update, inspection, signing))
    }
    const arrayOf = arraysIn(document, inspection)
    return [...inspection.items].flatMap(([client, items]) => {
      const writer = writerOf(this.#writers, document, client, inspection)
      const first = inspection.firsts.get(client)
      if (writer === from || (first === undefined && client !== inspection.conflict)) return []
      const news = client === inspection.conflict ? items : items.filter(({ id }) => id.clock >= (first ?? 0))
      return asFork(inspection, () => [proveJob(document, news, arrayOf, writer, signing)])
    })
  }

  /** @throws ShoalError `E_SIGNATURE`, at once or later */
  #prove(document: ReplicatedDocument, proofs: readonly Proof[]): Promise<void> | undefined {
    const checked = (proof: Proof, isGood: boolean): void => {
      if (!isGood) throw unproved(document, proof.writer, 'its signature is wrong')
      if (this.#proved.size >= provedMax) this.#proved.clear()
      this.#proved.add(keyOf(proof))
    }
    let later: Promise<void> | undefined
    for (const proof of proofs) {
      const isGood = this.#signing.verify(proof.publicKey, proof.signature, proof.message)
      if (isGood instanceof Promise) {
        const done = isGood.then((answer) => checked(proof, answer))
        later = later === undefined ? done : Promise.all([later, done]).then(() => {})
      } else checked(proof, isGood)
    }
    return later
  }
}

/** The member whose client id this is: known before, told by the update, or the one whose lane it is. */
export function writerOf(
  writers: Writers,
  document: ReplicatedDocument,
  client: number,
  inspection: Inspection,
): PeerId {
  return writers.of(client) ?? inspection.writers.get(client) ?? (document.key as PeerId)
}

/** Signatures remembered as good. */
const provedMax = 1024

function keyOf({ publicKey, signature, message }: Proof): string {
  return [publicKey, signature, message].map(sha256Hex).join('')
}

/** What a member says itself needs no check, but a seal: nobody could pass it on otherwise. */
function checkSealed(document: ReplicatedDocument, { items, firsts }: Inspection, from: PeerId): void {
  for (const client of firsts.keys()) {
    const last = items.get(client)?.at(-1)
    const isSealed = last?.content instanceof Y.ContentBinary && isSeal(last.content.content)
    if (!isSealed) throw unproved(document, from, 'no seal follows its last entry')
  }
}

/** Entries that do not fit may be of another history than the one known here: all of it tells. */
function asFork(inspection: Inspection, prove: () => readonly Proof[]): readonly Proof[] {
  try {
    return prove()
  } catch (error) {
    const [client, clock] = [...inspection.firsts][0] ?? []
    if (!(error instanceof ShoalError) || client === undefined) throw error
    throw new ForkError(error, client, clock as number)
  }
}

/** The lane as the update would make it, or, when that is another history, as the update has it. */
function proveLaneUpdate(
  document: ReplicatedDocument,
  update: Uint8Array,
  { conflict }: Inspection,
  signing: ReplicaSigning,
): readonly Proof[] {
  const scratch = openDocument(document.name, 0, { onWritten: () => {}, onChanged: () => {} })
  try {
    if (conflict === null) Y.applyUpdate(scratch.doc, Y.encodeStateAsUpdate(document.doc))
    Y.applyUpdate(scratch.doc, update)
    const clients = conflict === null ? scratch.doc.store.clients.keys() : [conflict]
    return proveLane(scratch, [...clients], signing)
  } finally {
    scratch.doc.destroy()
  }
}

/** Finds the array of an entry that is not applied yet: it says so, or the entry before it does. */
function arraysIn(document: ReplicatedDocument, { items }: Inspection): (item: Y.Item) => string {
  const names = new Map<string, string>()
  const arrayOf = (item: Y.Item): string => {
    const key = `${item.id.client} ${item.id.clock}`
    const known = names.get(key)
    if (known !== undefined) return known
    // A chain may be long: from its start, in a loop.
    const chain: Y.Item[] = []
    let name = ''
    for (let at: Y.Item | undefined = item; at !== undefined && name === ''; ) {
      chain.push(at)
      const origin: Y.ID | null = at.origin
      if (typeof at.parent === 'string') name = at.parent
      else if (origin === null) break
      else {
        name = names.get(`${origin.client} ${origin.clock}`) ?? ''
        const list: readonly Y.Item[] = items.get(origin.client) ?? []
        const inUpdate: Y.Item | undefined = list[origin.clock - (list[0]?.id.clock ?? 0)]
        if (
          name === '' &&
          inUpdate === undefined &&
          origin.clock < Y.getState(document.doc.store, origin.client)
        ) {
          name = nameOf(document, Y.getItem(document.doc.store, origin)) ?? ''
        }
        at = inUpdate
      }
    }
    for (const { id } of chain) names.set(`${id.client} ${id.clock}`, name)
    return name
  }
  return arrayOf
}
