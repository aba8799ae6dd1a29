import type { Format } from "../Door.ts"

/** The errors of Ollama's API, as they also stand in streams. */
export const ollamaFormat: Format = { error: ({ message }) => ({ error: message }) }
