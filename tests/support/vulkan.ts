import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findChromium } from '../../scripts/setup.mjs'

/** Chromium brings a software GPU along: where its driver lies, as environment of a process. */
export function softwareGpu(): Readonly<Record<string, string>> {
  const chromium = findChromium()
  const folders = [chromium === null ? '' : dirname(realpathSync(chromium)), '/usr/lib/chromium']
  const folder = folders.find((path) => existsSync(join(path, 'vk_swiftshader_icd.json')))
  if (folder === undefined) return {}
  return { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: folder }
}
