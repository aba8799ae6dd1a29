const secrets: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}/gi, "$1 [redacted]"],
  // `HF_TOKEN=…`, `"api_key": "…"`, `password: …`; not `max_tokens: 5`.
  [
    /((?:^|[^A-Za-z])[A-Za-z_-]*(?:key|token|password|passwd|secret)["']?\s*[=:]\s*["']?)[^\s"',;&]{4,}/gi,
    "$1[redacted]"
  ],
  [/\b(?:hf_|sk-|ghp_|glpat-|xox[bap]-)[A-Za-z0-9_-]{8,}/g, "[redacted]"],
  [/(\w+:\/\/)[^\s/@:]+:[^\s/@]+@/g, "$1[redacted]@"]
]

/** The text without what looks like a token, a key or a password. Meant for narration and error sentences. */
export const redact = (text: string) =>
  secrets.reduce((safe, [pattern, mask]) => safe.replace(pattern, mask), text)
