import type { Wait } from "../jobs/Clients.ts"

/** No wait takes longer than its limit. */
export const waitsAreBounded = ({ endedAt, limit, startedAt, what }: Wait) => {
  if (endedAt === undefined) return `${what} has not ended`
  const took = endedAt - startedAt
  return took > limit ? `${what} took ${took} ms and may take ${limit}` : undefined
}
