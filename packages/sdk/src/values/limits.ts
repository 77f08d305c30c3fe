/** Deepest nesting of a packed value: keeps both codecs clear of the stack's end on every engine. */
export const valueDepthMax = 200
/** Longest packed value in bytes: bigger data goes as chunks, never inside one value. */
export const packedBytesMax: number = 512 * 1024 * 1024
/** Longest error message in characters that crosses a worker or a link. */
export const errorMessageCharsMax = 8192
/** Longest stack text in characters that crosses a worker or a link. */
export const errorStackCharsMax = 16_384
/** Most bytes that an error's own fields may take when packed; above it they are left out. */
export const errorFieldsBytesMax: number = 64 * 1024
/** Longest chain of causes that is kept. */
export const errorCausesMax = 8
