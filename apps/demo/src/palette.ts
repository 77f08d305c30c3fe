import type { Tile } from './fractal.ts'

export type PaletteName = 'dusk' | 'ember' | 'kelp' | 'paper'

type Colour = readonly [red: number, green: number, blue: number]

interface Stops {
  readonly label: string
  readonly inside: Colour
  readonly stops: readonly Colour[]
}

/** A picture's colours: they run in a circle, so that there is no seam. */
export const palettes: Readonly<Record<PaletteName, Stops>> = {
  dusk: {
    label: 'Dusk',
    inside: [8, 10, 26],
    stops: [
      [12, 18, 56],
      [38, 70, 148],
      [112, 176, 214],
      [248, 240, 214],
      [240, 164, 78],
      [142, 58, 66],
    ],
  },
  ember: {
    label: 'Ember',
    inside: [10, 6, 8],
    stops: [
      [24, 8, 14],
      [116, 20, 26],
      [224, 92, 28],
      [255, 214, 112],
      [196, 120, 100],
      [76, 26, 58],
    ],
  },
  kelp: {
    label: 'Kelp',
    inside: [4, 14, 16],
    stops: [
      [6, 32, 38],
      [14, 94, 92],
      [88, 178, 128],
      [234, 242, 178],
      [120, 172, 180],
      [28, 70, 104],
    ],
  },
  paper: {
    label: 'Paper',
    inside: [16, 16, 18],
    stops: [
      [250, 249, 246],
      [176, 176, 180],
      [72, 74, 82],
      [150, 150, 156],
    ],
  },
}

/** 256 colours, three bytes each; the first is the inside. */
export function coloursOf(name: PaletteName): Uint8Array {
  const { inside, stops } = palettes[name]
  const colours = new Uint8Array(256 * 3)
  colours.set(inside)
  for (let shade = 1; shade < 256; shade += 1) {
    const place = ((shade - 1) / 255) * stops.length
    const from = stops[Math.floor(place) % stops.length] as Colour
    const to = stops[(Math.floor(place) + 1) % stops.length] as Colour
    const share = place - Math.floor(place)
    for (let part = 0; part < 3; part += 1) {
      colours[shade * 3 + part] = Math.round(
        (from[part] as number) * (1 - share) + (to[part] as number) * share,
      )
    }
  }
  return colours
}

/** The tile's pixels as a canvas wants them: red, green, blue, opaque. */
export function pixelsOf(tile: Tile, colours: Uint8Array): Uint8ClampedArray<ArrayBuffer> {
  const { shades } = tile
  const pixels = new Uint8ClampedArray(shades.length * 4)
  for (let index = 0; index < shades.length; index += 1) {
    const at = (shades[index] as number) * 3
    pixels[index * 4] = colours[at] as number
    pixels[index * 4 + 1] = colours[at + 1] as number
    pixels[index * 4 + 2] = colours[at + 2] as number
    pixels[index * 4 + 3] = 255
  }
  return pixels
}
