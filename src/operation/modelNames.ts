/**
 * What two spellings of one model's name have in common: case, `:latest` and `.gguf` make no difference, and a hub's host
 * stands for its prefix.
 */
export const normalName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^(?:hf\.co|huggingface\.co)\//, "hf:")
    .replace(/:latest$/, "")
    .replace(/\.gguf$/, "")

const prefixes = ["", "rbee:", "hf:", "ollama:"] as const

/**
 * The first of the entries that a name means: by one of its names as written, by another spelling of it, or without the
 * prefix of its source, in this order.
 */
export const findNamed = <A>(
  entries: ReadonlyArray<A>,
  namesOf: (entry: A) => ReadonlyArray<string>,
  asked: string
): A | undefined => {
  const exact = entries.find((entry) => namesOf(entry).includes(asked))
  if (exact !== undefined) return exact
  const normal = normalName(asked)
  for (const prefix of prefixes) {
    const wanted = prefix + normal
    const found = entries.find((entry) => namesOf(entry).some((name) => normalName(name) === wanted))
    if (found !== undefined) return found
  }
  return undefined
}
