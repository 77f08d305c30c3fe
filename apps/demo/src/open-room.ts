import type { Tile } from './fractal.ts'
import { followGallery, type GalleryFollower } from './gallery.ts'
import type { Mesh } from './mesh-session.ts'
import type { PageState } from './page-state.ts'
import type { Store } from './store.ts'
import { createTally, type Tally } from './tally.ts'
import { createWall, type PictureState, type Wall } from './wall.ts'
import { problemOf } from './words.ts'

/** Draws tiles as they come. */
export interface TileListener {
  wiped(): void
  tile(tile: Tile, colour: string): void
}

/** A room that this page is in: follows the mesh, keeps the page's state up to date. */
export interface OpenRoom {
  readonly mesh: Mesh
  readonly wall: Wall
  /** `null` for a guest that only lends, and on a device alone: there is nobody to keep it. */
  readonly gallery: GalleryFollower | null
  refresh(): void
  /** Tells `listener` of the tiles that are there already. */
  replay(listener: TileListener): void
  /** Stops following; the mesh is the caller's to close. */
  end(): void
}

export function openRoom(
  mesh: Mesh,
  store: Store<PageState>,
  listeners: ReadonlySet<TileListener>,
  onEnd: () => void,
): OpenRoom {
  const tally = createTally(() => performance.now())
  const draw = (listener: TileListener, tile: Tile): void => {
    listener.tile(tile, tally.colourOf(peerOf(tile)))
  }
  let wall: Wall | null = null
  let gallery: GalleryFollower | null = null
  const refresh = (): void => {
    const peers = tally.rows(mesh.peers)
    const picture = wall?.picture ?? null
    const own = mesh.processors.filter((processor) => processor.peer === mesh.self)
    store.set({
      health: mesh.health(),
      peers,
      lent: own.filter(({ kind }) => kind === 'worker').length,
      isGpuLent: own.some(({ kind }) => kind === 'webgpu'),
      tilesPerSecond: tally.perSecond(),
      picture,
      ownerName: picture === null ? '' : tally.nameOf(picture.owner),
      view: wall?.view ?? null,
      ...galleryIn(mesh, gallery, tally),
      announcement: announcementFor(store.state, picture, tally),
    })
  }
  const openWall = createWall(mesh, {
    onWiped() {
      for (const listener of listeners) listener.wiped()
    },
    onTile(tile, isLive) {
      tally.add(peerOf(tile), isLive)
      for (const listener of listeners) draw(listener, tile)
    },
    onChange() {
      refresh()
      if (wall !== null) hang()
    },
    onProblem: (error) => store.set({ problem: problemOf(error) }),
  })
  wall = openWall
  let hung = ''
  const hang = (): void => {
    const { picture } = openWall
    if (picture?.state !== 'complete' || picture.job === hung) return
    hung = picture.job
    gallery?.hang(picture.no, picture.job, openWall.tiles())
  }
  const unsubscribes = [
    mesh.on('peers-changed', refresh),
    mesh.on('health', refresh),
    mesh.on('peer-left', ({ id }) => store.set({ announcement: `${tally.nameOf(id)} left.` })),
  ]
  if (mesh.role === 'member' && !store.state.isAlone) {
    gallery = followGallery(mesh, {
      onChange: refresh,
      onMoved: (host) => store.set({ announcement: `The gallery moved to ${hostName(mesh, host, tally)}.` }),
      onEnd,
      onProblem: (error) => store.set({ problem: problemOf(error) }),
    })
    hang()
  }
  // Speeds fall when nothing happens.
  const timer = setInterval(refresh, 1_000)
  refresh()
  return {
    mesh,
    wall: openWall,
    gallery,
    refresh,
    replay(listener) {
      for (const tile of openWall.tiles()) draw(listener, tile)
    },
    end() {
      clearInterval(timer)
      for (const unsubscribe of unsubscribes) unsubscribe()
      openWall.close()
      gallery?.close()
    },
  }
}

/** Quarters only: a screen reader that reads every tile is of no use. */
function announcementFor(state: PageState, picture: PictureState | null, tally: Tally): string {
  if (picture === null) return state.announcement
  const before = state.picture
  if (before?.job !== picture.job) return `Picture ${picture.no} started.`
  if (picture.state === 'complete' && before.state !== 'complete') return `Picture ${picture.no} is complete.`
  if (picture.state === 'stopped' && before.state !== 'stopped') return `Picture ${picture.no} was stopped.`
  if (picture.epoch > before.epoch && before.owner !== '') {
    return `${tally.nameOf(picture.owner)} took picture ${picture.no} over.`
  }
  const quarter = Math.floor((picture.drawn / picture.total) * 4)
  const quarterBefore = Math.floor((before.drawn / picture.total) * 4)
  if (quarter > quarterBefore && quarter < 4) return `${quarter * 25} % drawn.`
  return state.announcement
}

function galleryIn(
  mesh: Mesh,
  follower: GalleryFollower | null,
  tally: Tally,
): Pick<PageState, 'gallery' | 'galleryHost'> {
  const gallery = follower?.state ?? null
  if (gallery === null) return { gallery, galleryHost: { name: '', canBeEnded: false } }
  const canBeEnded = mesh.processors.some(({ peer, kind }) => peer === gallery.host && kind === 'worker')
  return { gallery, galleryHost: { name: tally.nameOf(gallery.host), canBeEnded } }
}

function hostName(mesh: Mesh, host: string, tally: Tally): string {
  return host === mesh.self ? 'this page' : tally.nameOf(host)
}

function peerOf(tile: Tile): string {
  return tile.processor.split('/', 1)[0] as string
}
