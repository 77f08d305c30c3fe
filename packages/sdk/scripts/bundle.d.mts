export interface Bundle {
  readonly file: string
  readonly bytes: number
  readonly gzipBytes: number
}
export const bundleFile: string
export function buildBundle(file?: string): Promise<Bundle>
