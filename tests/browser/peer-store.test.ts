import { createInvite, createReplica, createSystemClock, type Invite, type PeerStore } from '@shoal/mesh'
import { openBrowserPeerStore } from '@shoal/mesh/browser'
import type { JobId, ReplicatedRecord } from '@shoal/scheduler'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openIdbStorage, openPeerDatabase } from '../../packages/mesh/src/replica/storage.idb.ts'

async function newRoom(): Promise<Invite> {
  return (await createInvite({ url: 'http://127.0.0.1' })).member
}

async function open(invite: Invite): Promise<PeerStore> {
  const store = await openBrowserPeerStore(invite)
  onTestFinished(() => store.close())
  return store
}

/** As another tab: it has session storage of its own. */
async function openElsewhere(invite: Invite): Promise<PeerStore> {
  const kept = { ...sessionStorage }
  sessionStorage.clear()
  const store = await open(invite)
  sessionStorage.clear()
  for (const [key, value] of Object.entries(kept)) sessionStorage.setItem(key, value)
  return store
}

test('[DU4] each start has the same identity at a higher epoch, and nobody can read its key', async () => {
  const invite = await newRoom()
  const first = await open(invite)
  await first.close()
  const second = await open(invite)
  expect([first.epoch, second.epoch]).toEqual([1, 2])
  expect(second.identity.peer).toBe(first.identity.peer)
  const message = Uint8Array.of(1, 2)
  const key = await crypto.subtle.importKey('raw', first.identity.publicKey.slice(), 'Ed25519', true, [
    'verify',
  ])
  const signature = (await second.identity.sign(message)).slice()
  expect(await crypto.subtle.verify('Ed25519', key, signature, message)).toBe(true)
  second.saveEpoch(9)
  await second.close()
  expect((await open(invite)).epoch).toBe(10)
  const [name] = (await indexedDB.databases())
    .map((one) => one.name)
    .filter((one) => one?.includes(invite.room))
  const database = await openPeerDatabase(name as string)
  const pair = (await database.get('peer', 'keys')) as CryptoKeyPair
  database.close()
  expect(pair.privateKey.extractable).toBe(false)
})

test('[DU5] a second tab has an identity of its own, a tab that is loaded again the one that it had', async () => {
  const invite = await newRoom()
  const first = await open(invite)
  const second = await openElsewhere(invite)
  expect(second.identity.peer).not.toBe(first.identity.peer)
  // The lock of the page before is let go a moment after the new page asks for it.
  const again = open(invite)
  await first.close()
  expect((await again).identity.peer).toBe(first.identity.peer)
})

test('rooms and roles are kept apart', async () => {
  const { member, contributor } = await createInvite({ url: 'http://127.0.0.1' })
  const other = (await createInvite({ url: 'http://127.0.0.1', room: member.room })).member
  const stores = [await open(member), await open(contributor), await open(other)]
  expect(new Set(stores.map((store) => store.identity.peer)).size).toBe(3)
})

test('[DU1] documents come back as records', async () => {
  const invite = await newRoom()
  const job = 'job-1' as JobId
  const replicaOn = (store: PeerStore) =>
    createReplica({
      self: store.identity.peer,
      network: { members: () => [], send: () => {}, onMessage: () => () => {}, onMember: () => () => {} },
      clock: createSystemClock(),
      rng: { next: () => Math.random() },
      operations: { get: () => null, add: () => {}, fetch: async () => null } as never,
      storage: store.documents,
    })
  const first = await open(invite)
  const before = replicaOn(first)
  const by = first.identity.peer
  before.write([
    { type: 'job', by, job, name: 'first' },
    { type: 'claim', by, job, epoch: 3 },
  ])
  before.flush()
  const hashes = before.contentHashes()
  before.close()
  await first.close()
  const second = await open(invite)
  const after = replicaOn(second)
  const records: ReplicatedRecord[] = []
  after.onRecords((some) => records.push(...some))
  expect(records).toEqual([
    { type: 'job', by, job, name: 'first' },
    { type: 'claim', by, job, epoch: 3 },
  ])
  expect(after.contentHashes()).toEqual(hashes)
  after.close()
})

test('[DU3] a full disk is a fault until the documents are whole again', async () => {
  const database = await openPeerDatabase(`full ${crypto.randomUUID()}`)
  const storage = await openIdbStorage(database)
  storage.append('job:a', Uint8Array.of(1))
  await storage.flush()
  const put = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('no space left', 'QuotaExceededError')
  })
  storage.append('job:a', Uint8Array.of(2))
  await storage.flush()
  expect(storage.fault).toMatchObject({ code: 'E_QUOTA' })
  expect(storage.unsaved()).toEqual(['job:a'])
  put.mockRestore()
  storage.compact('job:a', Uint8Array.of(1, 2))
  await storage.flush()
  expect(storage.fault).toBeNull()
  expect(await (await openIdbStorage(database)).load()).toEqual([
    { name: 'job:a', updates: [Uint8Array.of(1, 2)] },
  ])
  database.close()
})

test('[DU3] a database that is taken away is a fault, not an exception', async () => {
  const name = `taken ${crypto.randomUUID()}`
  const storage = await openIdbStorage(await openPeerDatabase(name))
  storage.append('job:a', Uint8Array.of(1))
  await storage.flush()
  // Who clears the site's data, or loads a newer version of the page, does this.
  await new Promise((resolve, reject) => {
    const removal = indexedDB.deleteDatabase(name)
    removal.onsuccess = resolve
    removal.onerror = reject
  })
  storage.append('job:a', Uint8Array.of(2))
  await storage.flush()
  expect(storage.fault).toMatchObject({ code: 'E_STORAGE_DENIED' })
  await storage.close()
})

test('[DU3] [73] a browser that keeps nothing says so', async () => {
  const refused = vi.spyOn(IDBFactory.prototype, 'open').mockImplementation(() => {
    throw new DOMException('denied', 'SecurityError')
  })
  onTestFinished(() => refused.mockRestore())
  await expect(openBrowserPeerStore(await newRoom())).rejects.toMatchObject({ code: 'E_STORAGE_DENIED' })
})

test('writes gather into one transaction, and are made at once when the page goes away', async () => {
  const storage = await openIdbStorage(await openPeerDatabase(`batch ${crypto.randomUUID()}`))
  const transactions = vi.spyOn(IDBDatabase.prototype, 'transaction')
  onTestFinished(() => transactions.mockRestore())
  for (let no = 0; no < 100; no++) storage.append(`job:${no % 5}`, Uint8Array.of(no))
  expect(transactions).toHaveBeenCalledTimes(0)
  window.dispatchEvent(new PageTransitionEvent('pagehide'))
  expect(transactions).toHaveBeenCalledTimes(1)
  await storage.close()
  expect(transactions).toHaveBeenCalledTimes(1)
})
