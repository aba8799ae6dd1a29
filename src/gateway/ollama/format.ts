import type { Format } from "../Door.ts"

/** The errors of Ollama's API, as they also stand in streams. */
export const ollamaFormat: Format = { api: "Ollama", error: ({ message }) => ({ error: message }) }
