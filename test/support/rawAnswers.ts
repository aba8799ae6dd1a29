import type * as http from "node:http"
import type { RawAnswer } from "../../src/testing/RawHive.ts"

/** Answers with JSON. */
export const json = (response: http.ServerResponse, value: unknown, status = 200) => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
}

/** Begins an answer that is an event stream. */
export const eventStream = (response: http.ServerResponse) =>
  response.writeHead(200, { "content-type": "text/event-stream" })

/** Answers as a hive whose jobs all have the given events, as bytes of the full view. */
export const hiveWith =
  (events: string | ((response: http.ServerResponse) => void)): RawAnswer =>
  (request, response) => {
    if (request.method === "POST")
      return json(response, { job_id: "job-7", sse_url: "/v1/jobs/job-7/stream" })
    if (request.method === "DELETE") return json(response, { job_id: "job-7", status: "cancelled" })
    if (request.url?.startsWith("/v1/jobs/job-7/events") !== true) return json(response, {}, 404)
    eventStream(response)
    if (typeof events === "string") response.end(events)
    else events(response)
  }
