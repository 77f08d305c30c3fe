/** Numbers that the WebGPU standard fixes; not every library of types has them. */
export const bufferUsage = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80 } as const
export const mapRead = 0x1
