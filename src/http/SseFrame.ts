/**
 * The text of one Server-Sent Event, as the WHATWG standard defines it. Every line of the data becomes a `data:` line; the
 * data must not contain carriage returns.
 */
export const sseFrame = (data: string, event?: string, id?: number) => {
  const lines = data.includes("\n") ? data.replaceAll("\n", "\ndata: ") : data
  const named = event === undefined ? `data: ${lines}\n\n` : `event: ${event}\ndata: ${lines}\n\n`
  return id === undefined ? named : `id: ${id}\n${named}`
}
