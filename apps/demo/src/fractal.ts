/** What a picture shows: a part of the complex plane. */
export interface View {
  /** Centre, real part. */
  readonly x: number
  /** Centre, imaginary part. */
  readonly y: number
  /** Width of the picture in the plane. */
  readonly span: number
  /** Steps before a point counts as inside. */
  readonly iterations: number
}

/** Everything that a peer needs to draw one tile. Lengths in pixels of the whole picture. */
export interface TileSpec {
  readonly view: View
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
  readonly imageWidth: number
  readonly imageHeight: number
}

/** A drawn tile. It says what it shows and who drew it, so that any page can put it on the wall. */
export interface Tile {
  readonly spec: TileSpec
  /** One byte per pixel, row by row: 0 = inside, else a place on the palette. */
  readonly shades: Uint8Array
  /** Id of the processor that drew it: `<peer>/<kind>/<index>`. */
  readonly processor: string
}

export const imageWidth = 960
export const imageHeight = 640
/** Sides of a tile: 4 KiB of shades, 150 tiles in a picture. */
export const tileSide = 64

export const wholeView: View = { x: -0.65, y: 0, span: 3.3, iterations: 2_000 }
/** Beyond this a double cannot tell neighbouring pixels apart. */
export const spanMin = 1e-11
export const spanMax = 6

/**
 * Draws one tile. Self-contained, because its text travels to other peers; only `+ - * /` and `sqrt`,
 * because those give the same bits on every machine.
 */
export function renderTile(context: { readonly processor: string }, spec: TileSpec): Tile {
  const { view, left, top, width, height } = spec
  const pixel = view.span / spec.imageWidth
  const shades = new Uint8Array(width * height)
  for (let row = 0; row < height; row += 1) {
    const cy = view.y + (top + row + 0.5 - spec.imageHeight / 2) * pixel
    for (let column = 0; column < width; column += 1) {
      const cx = view.x + (left + column + 0.5 - spec.imageWidth / 2) * pixel
      let x = 0
      let y = 0
      let size = 0
      let before = 0
      let step = 0
      while (step < view.iterations && size <= 256) {
        const nextX = x * x - y * y + cx
        y = 2 * x * y + cy
        x = nextX
        before = size
        size = x * x + y * y
        step += 1
      }
      if (size <= 256) continue
      // Where between two steps the point left the circle: neighbouring bands blend into each other.
      const leftAt = step - 1 + (256 - before) / (size - before)
      shades[row * width + column] = 1 + (Math.floor(Math.sqrt(leftAt) * 34) % 255)
    }
  }
  return { spec, shades, processor: context.processor }
}

/** Cuts a picture into tiles, those nearest to its centre first. */
export function tilesOf(view: View): TileSpec[] {
  const tiles: TileSpec[] = []
  for (let top = 0; top < imageHeight; top += tileSide) {
    for (let left = 0; left < imageWidth; left += tileSide) {
      const width = Math.min(tileSide, imageWidth - left)
      const height = Math.min(tileSide, imageHeight - top)
      tiles.push({ view, left, top, width, height, imageWidth, imageHeight })
    }
  }
  return tiles.sort((one, other) => distance(one) - distance(other))
}

/** The view `factor` times as wide, around the point at (`atX`, `atY`): 0 to 1 from the top left. */
export function zoomed(view: View, factor: number, atX: number = 0.5, atY: number = 0.5): View {
  const span = Math.min(spanMax, Math.max(spanMin, view.span * factor))
  const height = imageHeight / imageWidth
  return {
    ...view,
    x: view.x + (atX - 0.5) * (view.span - span),
    y: view.y + (atY - 0.5) * (view.span - span) * height,
    span,
  }
}

/** The view moved by parts of its own width and height. */
export function moved(view: View, byX: number, byY: number): View {
  return { ...view, x: view.x + byX * view.span, y: view.y + (byY * view.span * imageHeight) / imageWidth }
}

function distance(tile: TileSpec): number {
  const x = tile.left + tile.width / 2 - imageWidth / 2
  const y = tile.top + tile.height / 2 - imageHeight / 2
  return x * x + y * y
}
