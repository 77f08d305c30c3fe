import { holdSlot, keepIdentity } from './membership/identity.browser.ts'
import { type PeerStore, storeNameOf } from './peer-store.ts'
import { openIdbStorage, openPeerDatabase } from './replica/storage.idb.ts'
import { storageFault } from './replica/storage.queue.ts'
import type { Invite } from './room.types.ts'

/**
 * Opens what this browser keeps for a room. Each tab has a peer of its own: a second one gets the second
 * place, a tab that is loaded again the one that it had.
 * @throws ShoalError `E_STORAGE_DENIED` where the browser keeps nothing for the page, `E_QUOTA` when its
 *   disk is full, `E_STORAGE` when its database does not answer
 */
export async function openBrowserPeerStore(invite: Invite): Promise<PeerStore> {
  try {
    const slot = await holdSlot(`shoal ${await storeNameOf(invite)}`)
    try {
      const database = await openPeerDatabase(slot.name)
      const kept = await keepIdentity({
        get: (key) => database.get('peer', key),
        put: (key, value) => database.put('peer', value, key),
      })
      const documents = await openIdbStorage(database)
      return {
        ...kept,
        documents,
        async close() {
          await documents.close()
          slot.release()
        },
      }
    } catch (error) {
      slot.release()
      throw error
    }
  } catch (error) {
    throw storageFault(error)
  }
}
