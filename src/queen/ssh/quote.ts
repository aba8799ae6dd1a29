/** The text as one word of a POSIX shell, whatever it has in it. */
export const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/**
 * What `/bin/sh -s` reads so that it runs the script with these arguments. The shell reads all of it before it runs
 * any of it: of a script that was cut off on its way, nothing runs.
 */
export const shellInput = (script: string, args: ReadonlyArray<string>) =>
  `{ set -- ${args.map(quote).join(" ")}\n${script}\n}\n`
