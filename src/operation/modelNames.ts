/**
 * The canonical spelling of a model's name: lower case, without `:latest` and `.gguf`, with the prefix `hf:` in place of
 * the hub's host.
 */
export const normalName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^(?:hf\.co|huggingface\.co)\//, "hf:")
    .replace(/:latest$/, "")
    .replace(/\.gguf$/, "")

const prefixes = ["", "rbee:", "hf:", "ollama:"] as const

/**
 * The first entry that matches a name: by exact name, then by canonical spelling, then without the prefix of its source.
 */
export const findNamed = <A>(
  entries: ReadonlyArray<A>,
  namesOf: (entry: A) => ReadonlyArray<string>,
  name: string
): A | undefined => {
  const exact = entries.find((entry) => namesOf(entry).includes(name))
  if (exact !== undefined) return exact
  const normal = normalName(name)
  for (const prefix of prefixes) {
    const candidate = prefix + normal
    const found = entries.find((entry) => namesOf(entry).some((name) => normalName(name) === candidate))
    if (found !== undefined) return found
  }
  return undefined
}
