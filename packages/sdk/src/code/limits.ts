/** Longest module text in characters that becomes an operation: it is sent to every peer that runs it. */
export const sourceCharsMax: number = 4 * 1024 * 1024
/** Function texts whose operations are remembered: inline functions are new objects at each spawn. */
export const rememberedTextsMax = 1024
