import { imageHeight, imageWidth, type Tile } from './fractal.ts'
import { Gallery, type GalleryPicture } from './gallery-service.ts'
import { endPeer, listenForEnd, type Mesh, type Service, ShoalError } from './mesh-session.ts'
import { coloursOf, pixelsOf } from './palette.ts'

/** The gallery as this page sees it. */
export interface GalleryState {
  readonly host: string
  readonly isHere: boolean
  readonly epoch: number
  /** Nobody else has it: what happens to its host happens to it. */
  readonly isAlone: boolean
  readonly visits: number
  readonly pictures: readonly GalleryPicture[]
}

/** The room's gallery, followed by one page. */
export interface GalleryFollower {
  readonly state: GalleryState | null
  /** Hangs the picture that these tiles make, if it does not hang yet. */
  hang(no: number, job: string, tiles: Iterable<Tile>): void
  /** Lets this page host it. */
  bringHere(): void
  /** Ends the peer that hosts it, which has to lend a worker. */
  endHost(): void
  close(): void
}

interface GalleryEvents {
  onChange(): void
  onMoved(host: string): void
  /** Somebody ended this page's part in the room. */
  onEnd(): void
  onProblem(error: unknown): void
}

const name = 'gallery'
const lookEveryMs = 2_000
const againMs = 1_000

export function followGallery(mesh: Mesh, events: GalleryEvents): GalleryFollower {
  let handle: Service<Gallery> | null = null
  let seen = { visits: 0, version: 0 }
  let pictures: readonly GalleryPicture[] = []
  let timer: ReturnType<typeof setTimeout> | null = null
  let isClosed = false

  /** A call that fails says so, unless the page has left; the gallery that was lost is opened anew. */
  const use = async (work: (gallery: Service<Gallery>) => PromiseLike<unknown>): Promise<void> => {
    try {
      handle ??= await enter(mesh)
      await work(handle)
    } catch (error) {
      const code = error instanceof ShoalError ? error.code : ''
      if (isClosed || code === 'E_CLOSED') return
      handle = null
      // What is opened next is another one.
      seen = { visits: 0, version: 0 }
      if (!code.startsWith('E_SERVICE') && code !== 'E_NO_SERVICE') events.onProblem(error)
    }
  }

  let hasVisited = false
  /** A picture that does not hang yet. */
  let waiting: { readonly no: number; readonly job: string; readonly tiles: readonly Tile[] } | null = null
  const look = (): Promise<void> =>
    use(async (gallery) => {
      // Before the wait: a second look may come meanwhile, and one visit counts once.
      const isNew = !hasVisited
      hasVisited = true
      if (isNew) await gallery.visit()
      if (waiting !== null) {
        const { no, job, tiles } = waiting
        await gallery.hang({ no, job, image: await thumbnailOf(tiles) })
        waiting = null
      }
      const view = await gallery.look(seen.version)
      seen = { visits: view.visits, version: view.version }
      pictures = view.pictures ?? pictures
      events.onChange()
    })

  const follow = async (): Promise<void> => {
    await look()
    if (!isClosed) timer = setTimeout(follow, handle === null ? againMs : lookEveryMs)
  }

  void follow()
  const stops = [
    listenForEnd(mesh.self, events.onEnd),
    mesh.on('service-moved', (moved) => {
      if (moved.service !== handle?.$.id) return
      events.onMoved(moved.host)
      events.onChange()
    }),
  ]
  return {
    get state() {
      if (handle === null) return null
      const { host, epoch, follower } = handle.$
      if (host === null) return null
      return {
        host,
        isHere: host === mesh.self,
        epoch,
        isAlone: follower === null,
        visits: seen.visits,
        pictures,
      }
    },
    hang(no, job, tiles) {
      waiting = { no, job, tiles: [...tiles] }
      void look()
    },
    bringHere: () => void use((gallery) => gallery.$.migrate(mesh.self)),
    endHost() {
      if (handle?.$.host != null) endPeer(mesh, handle.$.host)
    },
    close() {
      isClosed = true
      if (timer !== null) clearTimeout(timer)
      for (const stop of stops) stop()
    },
  }
}

/** The gallery of the room; the first page that lends opens it, for before that nothing may run on a device. */
async function enter(mesh: Mesh): Promise<Service<Gallery>> {
  try {
    return await mesh.services.lookup<Gallery>(name)
  } catch (error) {
    if (!(error instanceof ShoalError) || error.code !== 'E_NO_SERVICE' || mesh.workers === 0) throw error
  }
  try {
    return await mesh.service(Gallery, [], { name, durability: 'journal', every: 50 })
  } catch (error) {
    if (!(error instanceof ShoalError) || error.code !== 'E_NAME_TAKEN') throw error
    return mesh.services.lookup<Gallery>(name)
  }
}

const thumbnailWidth = 192
const thumbnailHeight: number = (thumbnailWidth * imageHeight) / imageWidth

async function thumbnailOf(tiles: Iterable<Tile>): Promise<Uint8Array> {
  const [whole, small] = [canvasOf(imageWidth, imageHeight), canvasOf(thumbnailWidth, thumbnailHeight)]
  const colours = coloursOf('dusk')
  for (const tile of tiles) {
    const { left, top, width, height } = tile.spec
    whole.context.putImageData(new ImageData(pixelsOf(tile, colours), width, height), left, top)
  }
  small.context.imageSmoothingQuality = 'high'
  small.context.drawImage(whole.canvas, 0, 0, thumbnailWidth, thumbnailHeight)
  const blob = await new Promise<Blob | null>((resolve) => small.canvas.toBlob(resolve, 'image/png'))
  if (blob === null) throw new Error('Cannot keep a picture as the browser makes no PNG of it')
  return new Uint8Array(await blob.arrayBuffer())
}

function canvasOf(width: number, height: number) {
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  const context = canvas.getContext('2d')
  if (context === null) throw new Error('Cannot keep a picture as the browser has no canvas')
  return { canvas, context }
}
