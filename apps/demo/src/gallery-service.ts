/** A finished picture, small enough to keep many. */
export interface GalleryPicture {
  readonly no: number
  /** Its job: each picture hangs once, whoever brings it. */
  readonly job: string
  /** A PNG. */
  readonly image: Uint8Array
}

/** What the gallery shows; `pictures` null: those that were seen at this version before. */
export interface GalleryView {
  readonly visits: number
  readonly version: number
  readonly pictures: readonly GalleryPicture[] | null
}

/**
 * The room's gallery: a service, one for all pages, wherever it lives at present. Its text travels to other
 * peers, so that it uses nothing from outside itself.
 */
export class Gallery {
  visits = 0
  version = 1
  pictures: GalleryPicture[] = []

  visit(): number {
    this.visits += 1
    return this.visits
  }

  hang(picture: GalleryPicture): boolean {
    if (this.pictures.some(({ job }) => job === picture.job)) return false
    this.pictures = [picture, ...this.pictures].slice(0, 12)
    this.version += 1
    return true
  }

  look(version: number): GalleryView {
    const pictures = version === this.version ? null : this.pictures
    return { visits: this.visits, version: this.version, pictures }
  }
}
