/** The repository's root folder. */
export declare const root: string
/** Path of the script behind an installed package's command. */
export declare function toolPath(name: string): string
/** Path of a Chromium that is on this machine, or `null`. */
export declare function findChromium(): string | null
/** Runs the command line program of an installed package; its exit code and, when quiet, what it printed. */
export declare function runTool(
  name: string,
  args: readonly string[],
  options?: { readonly isQuiet?: boolean },
): Promise<{ readonly code: number; readonly output: string }>
