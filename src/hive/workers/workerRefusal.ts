import { type EngineError, errorInEvent, isContextOverflow, isRequestFault } from "../../http/engineErrors.ts"
import { ContextLengthExceeded, WorkerRefused } from "./errors.ts"

/** The engine's error as a typed one. Some engines answer 200 or 500 to a request that is at fault itself. */
export const refusal = (worker: string, status: number, error: EngineError) => {
  const { code, param, type } = error
  const detail = error.message ?? `Worker '${worker}' answered with the status ${status}`
  if (isContextOverflow(error)) return new ContextLengthExceeded({ worker, detail, param, type })
  const isAtFault = isRequestFault(error) && (status === 200 || status === 500)
  return new WorkerRefused({ worker, status: isAtFault ? 400 : status, detail, code, param, type })
}

/** An error inside of an answer. The answer's status was 200, and only the error's code may hold the right one. */
export const refusalInside = (worker: string, error: EngineError) =>
  refusal(worker, error.status ?? 200, error)

/** An engine answered with a JSON document where a stream was requested. */
export const streamMissing = (worker: string, document: string) => {
  const error = errorInEvent(document)
  return error === undefined
    ? new WorkerRefused({
        worker,
        status: 200,
        detail: `Worker '${worker}' sent a JSON document instead of a stream of events; its engine must support "stream": true`
      })
    : refusalInside(worker, error)
}

/** The answer is longer than the hive reads. */
export const answerTooLong = (worker: string, limit: number) =>
  new WorkerRefused({
    worker,
    status: 200,
    detail: `The answer is longer than ${limit} bytes (limits.line_bytes); ask for less at once`
  })
