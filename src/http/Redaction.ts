const mask = "[redacted]"

const isWord = (value: string) => value.length < 16 && /^[A-Za-z]+[.:!?)]*$/.test(value)

// Placeholders for a value: `<key>`, `{key}`, `$KEY`, `KEY`.
const isPlaceholder = (value: string) => /^(?:[<{[($….].*|[A-Z_]+)$/.test(value)

/** Whether a value looks random: it is long, and mixes letters with digits or upper with lower case. */
const looksRandom = (value: string) => {
  const bare = value.replace(/[.!?)\]]+$/, "")
  if (bare.length < 12 || !/^[A-Za-z0-9._~+/=-]+$/.test(bare)) return false
  const hasBoth = /[A-Za-z]/.test(bare) && /\d/.test(bare)
  return hasBoth || (bare.length >= 16 && /[a-z][A-Z]|^[A-Za-z]+$/.test(bare))
}

interface Assignment {
  readonly name: string
  /** The text between name and value, with the quotes. */
  readonly between: string
  readonly value: string
  /** Whether the line ends after the value. */
  readonly isLast: boolean
}

/**
 * Whether a value is a credential. Programs write `HF_TOKEN=…`, `"api_key": "…"` and `token:…`; after `token: ` a sentence
 * may continue.
 */
const isCredential = ({ between, isLast, name, value }: Assignment) => {
  if (isPlaceholder(value)) return false
  const isAssigned = !/:\s/.test(between) || /^["']\s*:\s*["']/.test(between)
  if (isAssigned) return true
  return looksRandom(value) || (isLast && /(?:password|passwd|secret)$/i.test(name))
}

const assignment =
  /(?<=^|[^A-Za-z])([A-Za-z_-]*(?:key|token|password|passwd|secret))(["']?\s*[=:]\s*["']?)([^\s"',;&]{4,})/gim

/** Masks tokens, keys and passwords in a text, for narration and error messages. */
export const redact = (text: string) =>
  text
    .replace(/\b(Bearer|Basic)(\s+)([A-Za-z0-9._~+/=-]{4,})/gi, (found, scheme, space, value) =>
      isWord(value) || isPlaceholder(value) ? found : `${scheme}${space}${mask}`
    )
    .replace(assignment, (found, name, between, value, offset, all) => {
      const isLast = /^["']?[^\S\n]*(?:\n|$)/.test(all.slice(offset + found.length))
      return isCredential({ name, between, value, isLast }) ? `${name}${between}${mask}` : found
    })
    .replace(
      /\b(?:hf_[A-Za-z0-9]{16,}|(?:sk-|ghp_|glpat-|xox[bap]-)(?=\S*\d)[A-Za-z0-9_-]{12,}|rbee-[A-Za-z0-9_-]{40,})/g,
      mask
    )
    .replace(/(\w+:\/\/)[^\s/@:]+:[^\s/@]+@/g, `$1${mask}@`)
