import type { View } from './fractal.ts'
import { keepInvite, keepName, roomOf } from './invite-link.ts'
import type { OpenRoom, TileListener } from './open-room.ts'
import { firstState, type PageState } from './page-state.ts'
import { createStore, type Store } from './store.ts'
import { count, problemOf } from './words.ts'

/** The page's one session: what the buttons do, and what there is to show. */
export interface Session {
  readonly store: Store<PageState>
  /** `invite` null: this device alone. Failures show as the state's problem. */
  join(invite: string | null, name: string): Promise<void>
  /** Leaves the room, or gives up joining. */
  leave(): Promise<void>
  setContributing(isOn: boolean): Promise<void>
  setWorkers(workers: number): Promise<void>
  start(view: View): void
  stop(): void
  bringGalleryHere(): void
  /** Ends the peer that hosts the gallery. */
  endGalleryHost(): void
  /** Hears of the tiles there are at once, then of each new one. */
  onTiles(listener: TileListener): () => void
}

/** A join takes a second or two; after this time the page says what may be wrong, and goes on trying. */
const slowMs = 6_000

interface Held {
  room: OpenRoom | null
  joining: AbortController | null
}

export function createSession(invite: string | null): Session {
  const store = createStore(firstState(invite))
  const tileListeners = new Set<TileListener>()
  const held: Held = { room: null, joining: null }
  return {
    store,
    join: (nextInvite, name) => join(held, store, tileListeners, nextInvite, name),
    leave: () => leave(held, store),
    async setContributing(isOn) {
      if (held.room === null || store.state.isSwitching) return
      const { workers } = store.state
      store.set({ isSwitching: true, problem: null })
      if (await lend(held.room, store, isOn ? workers : 0)) {
        const announcement = isOn ? `Lending ${count(workers, 'worker')}.` : 'Lending stopped.'
        store.set({ isContributing: isOn, announcement })
      }
      store.set({ isSwitching: false })
    },
    async setWorkers(workers) {
      store.set({ workers })
      if (held.room !== null && store.state.isContributing) await lend(held.room, store, workers)
    },
    start(view) {
      store.set({ problem: null })
      held.room?.wall.start(view)
    },
    stop: () => held.room?.wall.stop(),
    bringGalleryHere: () => held.room?.gallery?.bringHere(),
    endGalleryHost: () => held.room?.gallery?.endHost(),
    onTiles(listener) {
      tileListeners.add(listener)
      listener.wiped()
      held.room?.replay(listener)
      return () => tileListeners.delete(listener)
    },
  }
}

async function join(
  held: Held,
  store: Store<PageState>,
  tileListeners: ReadonlySet<TileListener>,
  invite: string | null,
  name: string,
): Promise<void> {
  if (store.state.phase !== 'out') return
  const joining = new AbortController()
  held.joining = joining
  const isAlone = invite === null
  const room = invite === null ? '' : roomOf(invite)
  keepName(name)
  store.set({ phase: 'joining', invite, room, name, isAlone, problem: null, hasLeft: false })
  const slow = setTimeout(() => store.set({ isSlow: true }), slowMs)
  try {
    // The page is readable before the mesh's code is here: most of it is only needed in a room.
    const [{ openMesh }, { openRoom }] = await Promise.all([
      import('./mesh-session.ts'),
      import('./open-room.ts'),
    ])
    const mesh = await openMesh(invite, name, joining.signal)
    if (joining.signal.aborted) return await mesh.close()
    keepInvite(invite)
    store.set({ phase: 'in', role: mesh.role, isContributing: false, health: mesh.health() })
    held.room = openRoom(mesh, store, tileListeners, () => void leave(held, store))
  } catch (error) {
    if (!joining.signal.aborted) store.set({ phase: 'out', problem: problemOf(error) })
  } finally {
    clearTimeout(slow)
    store.set({ isSlow: false })
  }
}

async function leave(held: Held, store: Store<PageState>): Promise<void> {
  const { room } = held
  held.joining?.abort()
  held.room = null
  room?.end()
  store.set({
    phase: 'out',
    hasLeft: room !== null,
    isContributing: false,
    picture: null,
    gallery: null,
    peers: [],
  })
  await room?.mesh.close()
}

async function lend(room: OpenRoom, store: Store<PageState>, workers: number): Promise<boolean> {
  try {
    await room.mesh.lend(workers)
    return true
  } catch (error) {
    store.set({ problem: problemOf(error) })
    return false
  } finally {
    room.refresh()
  }
}
