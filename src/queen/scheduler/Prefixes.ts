// @effect-diagnostics nodeBuiltinImport:off -- Effect's Crypto has no hash that answers at once
import { hash } from "node:crypto"

const blockCharacters = 1024
const charactersPerToken = 4
/** Tokens of one block, as they are estimated. */
export const blockTokens = blockCharacters / charactersPerToken

const maxBlocks = 256
const rememberedBlocks = 4096

/** How many tokens a text has, as it is estimated before an engine has counted them. */
export const estimateTokens = (text: string) => Math.ceil(text.length / charactersPerToken)

/** Names the beginnings of a prompt: one name for each whole block, which says everything that stands before its end. */
export const prefixesOf = (prompt: string): ReadonlyArray<string> => {
  const names: Array<string> = []
  let before = ""
  for (let end = blockCharacters; end <= prompt.length && names.length < maxBlocks; end += blockCharacters) {
    before = hash("sha1", before + prompt.slice(end - blockCharacters, end), "base64")
    names.push(before)
  }
  return names
}

/** The beginnings of prompts that a worker has worked on lately, and most likely still has in its memory. */
export class Prefixes {
  readonly #seen = new Set<string>()

  /** How many blocks at the start of a prompt the worker knows. */
  shared(prefixes: ReadonlyArray<string>): number {
    const unknown = prefixes.findIndex((prefix) => !this.#seen.has(prefix))
    return unknown === -1 ? prefixes.length : unknown
  }

  add(prefixes: ReadonlyArray<string>) {
    for (const prefix of prefixes) {
      this.#seen.delete(prefix)
      this.#seen.add(prefix)
    }
    // A set keeps the order of insertion, so the oldest stand first.
    for (const oldest of this.#seen) {
      if (this.#seen.size <= rememberedBlocks) return
      this.#seen.delete(oldest)
    }
  }
}
