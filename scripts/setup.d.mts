/** The repository's root folder. */
export declare const root: string
/** Path of the script behind an installed package's command. */
export declare function toolPath(name: string): string
/** Path of a Chromium that is on this machine, or `null`. */
export declare function findChromium(): string | null
