import type { View } from './fractal.ts'
import type { GalleryState } from './gallery.ts'
import { rememberedName, roomOf } from './invite-link.ts'
import type { MeshHealth } from './mesh-session.ts'
import type { PeerRow } from './tally.ts'
import type { PictureState } from './wall.ts'
import type { Problem } from './words.ts'

/** Everything that the page shows, as plain data. */
export interface PageState {
  readonly phase: 'out' | 'joining' | 'in'
  /** Joining takes longer than it should. */
  readonly isSlow: boolean
  /** `null`: no room; a mesh of this device alone. */
  readonly invite: string | null
  readonly room: string
  readonly name: string
  readonly isAlone: boolean
  readonly hasLeft: boolean
  readonly role: 'member' | 'contributor'
  readonly health: MeshHealth | null
  readonly peers: readonly PeerRow[]
  readonly tilesPerSecond: number
  readonly isContributing: boolean
  readonly isSwitching: boolean
  /** Workers of this page that run at present. */
  readonly lent: number
  /** This page lends its GPU. */
  readonly isGpuLent: boolean
  /** Workers to lend while contributing. */
  readonly workers: number
  readonly workersMax: number
  readonly picture: PictureState | null
  readonly ownerName: string
  readonly view: View | null
  /** `null`: not found yet. */
  readonly gallery: GalleryState | null
  readonly galleryHost: { readonly name: string; readonly canBeEnded: boolean }
  readonly problem: Problem | null
  /** The last thing worth telling somebody who does not see the page. */
  readonly announcement: string
}

/** The page as it opens. */
export function firstState(invite: string | null): PageState {
  const cores = navigator.hardwareConcurrency || 2
  return {
    phase: 'out',
    isSlow: false,
    invite,
    room: invite === null ? '' : roomOf(invite),
    name: rememberedName(),
    isAlone: false,
    hasLeft: false,
    role: 'member',
    health: null,
    peers: [],
    tilesPerSecond: 0,
    isContributing: false,
    isSwitching: false,
    lent: 0,
    isGpuLent: false,
    workers: Math.max(1, cores - 1),
    workersMax: cores,
    picture: null,
    ownerName: '',
    view: null,
    gallery: null,
    galleryHost: { name: '', canBeEnded: false },
    problem: null,
    announcement: '',
  }
}
