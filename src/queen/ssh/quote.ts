/** Quotes any text as one word of a POSIX shell. */
export const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/**
 * The input for `/bin/sh -s` that runs the script with these arguments. The shell reads it completely before it runs
 * anything, so that a truncated script runs nothing.
 */
export const shellInput = (script: string, args: ReadonlyArray<string>) =>
  `{ set -- ${args.map(quote).join(" ")}\n${script}\n}\n`
