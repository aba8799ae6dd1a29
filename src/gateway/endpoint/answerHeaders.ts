import type { ResponseContext } from "./Endpoint.ts"

/** The response headers that name the job of a request, and its hive, worker and waiting times once a worker is assigned. */
export const answerHeaders = ({ jobId, placement }: Pick<ResponseContext, "jobId" | "placement">) => {
  const placed = placement()
  return {
    "cache-control": "no-cache",
    "x-rbee-job-id": jobId,
    ...(placed === undefined
      ? {}
      : {
          "x-rbee-hive": placed.hive,
          "x-rbee-worker": placed.worker,
          "x-rbee-queue-ms": String(Math.round(placed.queueMs)),
          "x-rbee-load-ms": String(Math.round(placed.loadMs))
        })
  }
}
