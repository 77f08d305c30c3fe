import { join } from 'node:path'
import type { ShoalError } from '@shoal/scheduler'
import { takeFileIdentity } from './membership/identity.node.ts'
import { type PeerStore, storeNameOf } from './peer-store.ts'
import { openFileStorage } from './replica/storage.file.ts'
import { storageFault } from './replica/storage.queue.ts'
import type { Invite } from './room.types.ts'

export interface FilePeerStoreOptions {
  readonly invite: Invite
  /** Made when needed; may hold what peers of several rooms keep. */
  readonly directory: string
  /** Some of what was stored is damaged and was left out. */
  readonly onDamage?: (error: ShoalError) => void
}

/**
 * Opens what a Node process keeps for a room: the first place in the folder that no living process has.
 * @throws ShoalError `E_STORAGE_DENIED`, `E_QUOTA` or `E_STORAGE` when the folder cannot be used
 */
export async function openFilePeerStore(options: FilePeerStoreOptions): Promise<PeerStore> {
  const { invite, directory, onDamage } = options
  try {
    const kept = await takeFileIdentity(join(directory, await storeNameOf(invite)))
    try {
      const documents = await openFileStorage({
        directory: join(kept.directory, 'documents'),
        ...(onDamage === undefined ? {} : { onDamage }),
      })
      let closing: Promise<void> | null = null
      const close = async (): Promise<void> => {
        await documents.close()
        await kept.release()
      }
      const { identity, epoch, saveEpoch } = kept
      return {
        identity,
        epoch,
        saveEpoch,
        documents,
        close() {
          closing ??= close()
          return closing
        },
      }
    } catch (error) {
      await kept.release()
      throw error
    }
  } catch (error) {
    throw storageFault(error)
  }
}
