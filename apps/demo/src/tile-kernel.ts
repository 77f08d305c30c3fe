import type { TileArguments } from './fractal.ts'

/** The same as `drawShades`, in 32-bit floats: good for views that are not deep. Four shades to a word. */
export const wgsl = `
struct Tile { left: f32, top: f32, pixel: f32, iterations: u32, width: u32, words: u32 }
@group(0) @binding(0) var<uniform> tile: Tile;
@group(0) @binding(1) var<storage, read_write> shades: array<u32>;
@group(0) @binding(2) var<storage, read_write> place: array<u32, 20>;

fn shadeOf(index: u32) -> u32 {
  let c = vec2f(tile.left + f32(index % tile.width) * tile.pixel, tile.top + f32(index / tile.width) * tile.pixel);
  var z = vec2f();
  var size = 0.0;
  var before = 0.0;
  var step = 0u;
  while (step < tile.iterations && size <= 256.0) {
    z = vec2f(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y) + c;
    before = size;
    size = dot(z, z);
    step++;
  }
  if (size <= 256.0) { return 0u; }
  let leftAt = f32(step - 1u) + (256.0 - before) / (size - before);
  return 1u + u32(sqrt(leftAt) * 34.0) % 255u;
}

@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  // What the tile shows goes back with it, bit by bit.
  if (id.x < 20u) { place[id.x] = place[id.x]; }
  if (id.x >= tile.words) { return; }
  let first = 4u * id.x;
  var word = 0u;
  for (var part = 0u; part < 4u; part++) { word |= shadeOf(first + part) << (8u * part); }
  shades[id.x] = word;
}`

/** Below this width of a view 32-bit floats show: its tiles are for workers. */
export const gpuSpanMin = 0.01

/** Numbers of elements of the outputs. */
export const outputs = {
  shades: 'tile.words' satisfies `tile.${keyof TileArguments['tile']}`,
  place: 20,
} as const
