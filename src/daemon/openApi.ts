import { type Catalog, jsonSchemas } from "../operation/Catalog.ts"
import { version } from "../system/Program.ts"
import type { PublicRoute } from "./PublicRoutes.ts"

const stream = {
  description: "Server-Sent Events",
  content: { "text/event-stream": { schema: { type: "string" } } }
}
const json = (description: string) => ({
  description,
  content: { "application/json": { schema: { type: "object" } } }
})
const error = json('{"error":{"code","message","details"?}}')
const jobId = { name: "id", in: "path", required: true, schema: { type: "string" } }
const after = { name: "after", in: "query", required: false, schema: { type: "integer", minimum: 0 } }

const doorPaths = (doors: ReadonlyArray<PublicRoute>) => {
  const paths: Record<string, Record<string, object>> = {}
  for (const { api, method, path } of doors) {
    const responses = { 200: { description: `As ${api} defines it` } }
    paths[path] = {
      ...paths[path],
      [method]: { summary: `For applications that speak ${api}'s API`, responses }
    }
  }
  return paths
}

/** The OpenAPI 3.1 page of a daemon: the operations in it are those of its catalog, with the doors for applications. */
export const openApi = (title: string, catalog: Catalog, doors: ReadonlyArray<PublicRoute> = []) => {
  const schemas = Object.values(jsonSchemas(catalog))
  return {
    openapi: "3.1.0",
    info: { title, version },
    paths: {
      "/v1/jobs": {
        post: {
          summary: "Run an operation as a job",
          requestBody: {
            required: true,
            content: { "application/json": { schema: { oneOf: schemas.map(({ schema }) => schema) } } }
          },
          responses: { 200: json('{"job_id","sse_url"}'), 400: error, 413: error, 422: error, 503: error }
        },
        get: { summary: "All jobs that are kept, newest first", responses: { 200: json('{"jobs":[...]}') } }
      },
      "/v1/jobs/{id}": {
        parameters: [jobId],
        get: { summary: "One job", responses: { 200: json("The job"), 404: error } },
        delete: {
          summary: "Cancel a job",
          responses: { 200: json('{"job_id","status"}'), 404: error, 409: error }
        }
      },
      "/v1/jobs/{id}/stream": {
        parameters: [jobId, after],
        get: { summary: "The plain view of a job", responses: { 200: stream, 404: error } }
      },
      "/v1/jobs/{id}/events": {
        parameters: [jobId, after],
        get: { summary: "The full view of a job", responses: { 200: stream, 404: error } }
      },
      "/health": { get: { summary: "Whether the daemon runs", responses: { 200: { description: "ok" } } } },
      "/v1/build-info": { get: { summary: "Versions", responses: { 200: json("Versions") } } },
      ...doorPaths(doors),
      "/v1/shutdown": { post: { summary: "Stop gracefully", responses: { 200: json('{"status"}') } } }
    },
    components: { schemas: Object.assign({}, ...schemas.map(({ definitions }) => definitions)) }
  }
}
