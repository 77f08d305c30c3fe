import { withoutComments } from '../../code/index.ts'

type Size = readonly [number, number, number]

/**
 * The `@workgroup_size` of an entry point, with names looked up among constants and overrides.
 * @param constants values of overrides that the text does not decide
 * @returns `null` when a part is an expression
 */
export function workgroupSizeOf(
  wgsl: string,
  entry: string,
  constants: Readonly<Record<string, number>>,
): Size | null {
  const text = withoutComments(wgsl)
  const at = text.search(new RegExp(`\\bfn\\s+${entry}\\s*\\(`, 'u'))
  if (at === -1) return null
  // Attributes stand between the declaration before and the function.
  const before = text.slice(0, at)
  const attributes = before.slice(Math.max(before.lastIndexOf(';'), before.lastIndexOf('}')) + 1)
  const parts = /@workgroup_size\s*\(([^)]*)\)/.exec(attributes)?.[1]?.split(',')
  if (parts === undefined) return null
  const sizes = parts
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => numberOf(text, part, constants))
  const [x = 1, y = 1, z = 1] = sizes as number[]
  return sizes.includes(null) ? null : [x, y, z]
}

function numberOf(text: string, part: string, constants: Readonly<Record<string, number>>): number | null {
  const literal = /^(0[xX][\da-fA-F]+|\d+)[iu]?$/.exec(part)?.[1]
  if (literal !== undefined) return Number(literal)
  if (!/^\w+$/.test(part)) return null
  const declared = new RegExp(
    `\\b(?:const|override)\\s+${part}\\s*(?::\\s*\\w+)?\\s*=\\s*([^;]+);`,
    'u',
  ).exec(text)
  const given = Object.hasOwn(constants, part) ? constants[part] : undefined
  if (given !== undefined) return given
  return declared?.[1] === undefined || declared[1].trim() === part
    ? null
    : numberOf(text, declared[1].trim(), constants)
}
