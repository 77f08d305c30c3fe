import { ShoalError } from '@shoal/scheduler'
import { peerIdOf } from './crypto.ts'
import { type KeptIdentity, slotsMax } from './identity.ts'
import { exportPublicKey, signWith } from './suite.web.ts'

/** Where a browser keeps who a peer is. */
export interface IdentityRecords {
  get(key: string): Promise<unknown>
  put(key: string, value: unknown): Promise<unknown>
}

/** A place for one peer of this browser, held by this tab alone. */
export interface HeldSlot {
  readonly name: string
  release(): void
}

/** A tab that is loaded again waits this long for its former self to let go, in milliseconds. */
const reloadMs = 3_000

/**
 * Holds the first slot that no other tab has; a tab that is loaded again gets the one that it had.
 * @throws ShoalError `E_STORAGE_DENIED` on pages without locks: plain http from another machine
 */
export async function holdSlot(prefix: string): Promise<HeldSlot> {
  if (globalThis.navigator?.locks === undefined || globalThis.crypto?.subtle === undefined) {
    const text = 'Cannot keep who this peer is as the page must come over https or from this machine'
    throw new ShoalError('E_STORAGE_DENIED', `${text}: current value is ${globalThis.location?.origin}`)
  }
  const before = readSession(prefix)
  // Held by this very page: it joined the room twice.
  if (before !== null && !heldHere.has(before)) {
    const again = await hold(before, { signal: AbortSignal.timeout(reloadMs) })
    if (again !== null) return again
  }
  for (let slot = 1; slot <= slotsMax; slot++) {
    const held = await hold(`${prefix} ${slot}`, { ifAvailable: true })
    if (held === null) continue
    writeSession(prefix, held.name)
    return held
  }
  const text = `Cannot open the room in another tab as there must be at most ${slotsMax}`
  throw new ShoalError('E_STORAGE', `${text}: current value is ${slotsMax}`)
}

const heldHere = new Set<string>()

/** `null`: somebody else has it. */
function hold(name: string, options: LockOptions): Promise<HeldSlot | null> {
  return new Promise((resolve) => {
    const held = (lock: Lock | null): Promise<void> | undefined => {
      if (lock === null) {
        resolve(null)
        return undefined
      }
      heldHere.add(name)
      return new Promise((end) => {
        const release = (): void => {
          heldHere.delete(name)
          end()
        }
        resolve({ name, release })
      })
    }
    navigator.locks.request(name, options, held).catch(() => resolve(null))
  })
}

/**
 * The identity in these records, made on the first start. Its private key cannot be read back by anybody.
 * @throws the error of the records, or of a browser without Ed25519
 */
export async function keepIdentity(records: IdentityRecords): Promise<Omit<KeptIdentity, 'release'>> {
  const stored = await records.get('keys')
  const kept = isKeyPair(stored) ? stored : await generate()
  const before = isKeyPair(stored) ? await records.get('epoch') : 0
  // Without its epoch an identity is worth nothing: others would take the new start for the old one.
  if (!Number.isSafeInteger(before)) {
    await records.put('keys', null)
    return keepIdentity(records)
  }
  const epoch = (before as number) + 1
  let saved = epoch
  await records.put('epoch', epoch)
  if (kept !== stored) await records.put('keys', kept)
  const publicKey = await exportPublicKey(kept.publicKey)
  const peer = await peerIdOf(publicKey)
  return {
    identity: { peer, publicKey, sign: (bytes) => signWith(kept.privateKey, bytes) },
    epoch,
    saveEpoch(next) {
      if (next <= saved) return
      saved = next
      // The next start may be refused once, and is told then how high it must go.
      records.put('epoch', next).catch(console.error)
    },
  }
}

async function generate(): Promise<CryptoKeyPair> {
  return (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair
}

function isKeyPair(value: unknown): value is CryptoKeyPair {
  const pair = value as Partial<CryptoKeyPair> | null | undefined
  return pair?.privateKey instanceof CryptoKey && pair.publicKey instanceof CryptoKey
}

function readSession(prefix: string): string | null {
  try {
    return sessionStorage.getItem(`${prefix} slot`)
  } catch {
    return null
  }
}

function writeSession(prefix: string, slot: string): void {
  try {
    sessionStorage.setItem(`${prefix} slot`, slot)
  } catch {
    // A reload may then get another identity.
  }
}
