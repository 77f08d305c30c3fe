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

/** A tile as it is asked for: the same for a worker and a GPU. */
export interface TileArguments {
  /** The ten numbers of a {@link TileSpec}, as the bits of doubles. */
  readonly place: Uint32Array
  /** What a GPU needs of them: the centre of the first pixel, the step to the next, and counts. */
  readonly tile: {
    readonly left: number
    readonly top: number
    readonly pixel: number
    readonly iterations: number
    readonly width: number
    /** Words of four shades. */
    readonly words: number
  }
}

/** A tile as it is drawn. */
export type TileOutputs = {
  /** Four shades to a word, the first in the lowest byte. */
  readonly shades: Uint32Array
  /** As it was asked for: so that any page can put the tile on the wall. */
  readonly place: Uint32Array
}

/** What to ask for. */
export function argumentsOf(spec: TileSpec): TileArguments {
  const { view, left, top, width, height } = spec
  const numbers = [view.x, view.y, view.span, view.iterations, left, top, width, height]
  const place = new Uint32Array(Float64Array.of(...numbers, spec.imageWidth, spec.imageHeight).buffer)
  const pixel = view.span / spec.imageWidth
  return {
    place,
    tile: {
      left: view.x + (left + 0.5 - spec.imageWidth / 2) * pixel,
      top: view.y + (top + 0.5 - spec.imageHeight / 2) * pixel,
      pixel,
      iterations: view.iterations,
      width,
      words: Math.ceil((width * height) / 4),
    },
  }
}

/** The tile that was drawn, and by whom. */
export function tileOf({ shades, place }: TileOutputs, processor: string): Tile {
  // Where it lies in its buffer decides nobody: doubles want it aligned.
  const [x, y, span, iterations, left, top, width, height, wide, high] = new Float64Array(
    place.slice().buffer,
  ) as unknown as readonly [number, number, number, number, number, number, number, number, number, number]
  const view = { x, y, span, iterations }
  const bytes = new Uint8Array(shades.buffer, shades.byteOffset, width * height)
  return {
    spec: { view, left, top, width, height, imageWidth: wide, imageHeight: high },
    shades: bytes,
    processor,
  }
}

/** Whether a GPU drew it. */
export function isFromGpu(tile: Tile): boolean {
  return tile.processor.split('/')[1] === 'webgpu'
}

/**
 * Draws one tile. Self-contained, because its text travels to other peers; only `+ - * /` and `sqrt`,
 * because those give the same bits on every machine.
 */
export function drawShades({ place }: TileArguments): TileOutputs {
  const [x0, y0, span, iterations, left, top, width, height, imageWidth, imageHeight] = new Float64Array(
    place.slice().buffer,
  ) as unknown as readonly [number, number, number, number, number, number, number, number, number, number]
  const pixel = span / imageWidth
  const shades = new Uint32Array(Math.ceil((width * height) / 4))
  const bytes = new Uint8Array(shades.buffer)
  for (let row = 0; row < height; row += 1) {
    const cy = y0 + (top + row + 0.5 - imageHeight / 2) * pixel
    for (let column = 0; column < width; column += 1) {
      const cx = x0 + (left + column + 0.5 - imageWidth / 2) * pixel
      let x = 0
      let y = 0
      let size = 0
      let before = 0
      let step = 0
      while (step < iterations && size <= 256) {
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
      bytes[row * width + column] = 1 + (Math.floor(Math.sqrt(leftAt) * 34) % 255)
    }
  }
  return { shades, place }
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
