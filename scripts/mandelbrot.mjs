// The picture of `npm start`: its tiles, the function that peers run, and a PNG of the result.
import { crc32, deflateSync } from 'node:zlib'

/** Cuts a picture into square tiles, row by row. */
export function cutTiles(width, height, size) {
  const tiles = []
  for (let y = 0; y < height; y += size) {
    for (let x = 0; x < width; x += size) {
      tiles.push({ x, y, w: Math.min(size, width - x), h: Math.min(size, height - y), width, height })
    }
  }
  return tiles
}

/**
 * Renders one tile; it travels as text, so it uses nothing from around it.
 * @returns {Uint8Array} one byte per pixel: 0 inside the set, else how fast the point escaped
 */
export function renderTile({ x, y, w, h, width, height }) {
  const iterationsMax = 2_000
  const shades = new Uint8Array(w * h)
  const scale = 3.7 / width
  for (let row = 0; row < h; row += 1) {
    const ci = (y + row - height / 2) * scale
    for (let column = 0; column < w; column += 1) {
      const cr = (x + column - width / 2) * scale - 0.65
      let [zr, zi, n] = [0, 0, 0]
      while (n < iterationsMax && zr * zr + zi * zi < 256) {
        const next = zr * zr - zi * zi + cr
        zi = 2 * zr * zi + ci
        zr = next
        n += 1
      }
      if (n < iterationsMax) {
        const smooth = n + 1 - Math.log2(Math.log2(zr * zr + zi * zi) / 2)
        shades[row * w + column] =
          1 + Math.min(254, Math.floor(34 * Math.log2(1 + Math.max(0, smooth))) % 255)
      }
    }
  }
  return shades
}

/** Writes a tile's shades into the picture's RGB bytes. */
export function paint(pixels, tile, shades) {
  for (let row = 0; row < tile.h; row += 1) {
    for (let column = 0; column < tile.w; column += 1) {
      const shade = shades[row * tile.w + column]
      const at = ((tile.y + row) * tile.width + tile.x + column) * 3
      pixels.set(shade === 0 ? [8, 10, 24] : colour(shade / 255), at)
    }
  }
}

function colour(t) {
  const wave = (phase) => Math.round(128 + 127 * Math.cos(2 * Math.PI * (1.6 * t + phase)))
  return [wave(0.55), wave(0.42), wave(0.2)]
}

/** Encodes 8-bit RGB pixels. */
export function encodePng(width, height, pixels) {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const rows = Buffer.alloc((width * 3 + 1) * height)
  for (let row = 0; row < height; row += 1) {
    rows.set(pixels.subarray(row * width * 3, (row + 1) * width * 3), row * (width * 3 + 1) + 1)
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    part('IHDR', header),
    part('IDAT', deflateSync(rows)),
    part('IEND', Buffer.alloc(0)),
  ])
}

function part(type, data) {
  const bytes = Buffer.alloc(12 + data.length)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length)
  return bytes
}
