// @effect-diagnostics nodeBuiltinImport:off -- Effect's Crypto has no synchronous hash
import { hash } from "node:crypto"
import { estimateTokens } from "../../operation/promptSize.ts"

const blockCharacters = 1024
/** The estimated tokens of one block. */
export const blockTokens = estimateTokens(blockCharacters)

const maxBlocks = 256
const rememberedBlocks = 4096

/** Hashes of the prefixes of a prompt: one for each complete block, of all text up to its end. */
export const prefixesOf = (prompt: string): ReadonlyArray<string> => {
  const names: Array<string> = []
  let before = ""
  for (let end = blockCharacters; end <= prompt.length && names.length < maxBlocks; end += blockCharacters) {
    before = hash("sha1", before + prompt.slice(end - blockCharacters, end), "base64")
    names.push(before)
  }
  return names
}

/** The prompt prefixes that a worker has recently evaluated and most likely still caches. */
export class Prefixes {
  readonly #seen = new Set<string>()

  /** The number of blocks at the start of a prompt that the worker has cached. */
  shared(prefixes: ReadonlyArray<string>): number {
    const unknown = prefixes.findIndex((prefix) => !this.#seen.has(prefix))
    return unknown === -1 ? prefixes.length : unknown
  }

  add(prefixes: ReadonlyArray<string>) {
    for (const prefix of prefixes) {
      this.#seen.delete(prefix)
      this.#seen.add(prefix)
    }
    // Insertion order: the oldest come first.
    for (const oldest of this.#seen) {
      if (this.#seen.size <= rememberedBlocks) return
      this.#seen.delete(oldest)
    }
  }
}
