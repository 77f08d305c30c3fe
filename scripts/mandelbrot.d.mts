export interface Tile {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
  readonly width: number
  readonly height: number
}
/** Cuts a picture into square tiles, row by row. */
export declare function cutTiles(width: number, height: number, size: number): Tile[]
/** Renders one tile: one byte per pixel. */
export declare function renderTile(tile: Tile): Uint8Array
/** Writes a tile's shades into the picture's RGB bytes. */
export declare function paint(pixels: Uint8Array, tile: Tile, shades: Uint8Array): void
/** Encodes 8-bit RGB pixels. */
export declare function encodePng(width: number, height: number, pixels: Uint8Array): Buffer
