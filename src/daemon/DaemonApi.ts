import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { Capabilities } from "../hives/Capability.ts"
import { BodyErrors } from "../http/readBody.ts"
import { IdempotencyConflict, JobEnded, JobNotFound, TooManyJobs } from "../job/errors.ts"
import { JobRecord } from "../job/JobRecord.ts"
import { InvalidOperation, UnknownOperation, WrongDaemon } from "../operation/errors.ts"
import { Heartbeat } from "../operation/Heartbeat.ts"
import { HiveInventory } from "../operation/Inventory.ts"
import { Operation } from "../operation/Operation.ts"
import { DaemonAccess, OpenAccess } from "./Access.ts"
import { InvalidEventId, InvalidHeartbeat, InvalidIdempotencyKey, NotFound } from "./errors.ts"
import { wireError, wireErrorWith } from "./wireError.ts"

const described = (summary: string, description?: string) => OpenApi.annotations({ summary, description })

const invalidEventId = wireError(InvalidEventId)
const jobEnded = wireError(JobEnded)
const jobNotFound = wireError(JobNotFound)
const submitErrors = [
  wireError(IdempotencyConflict),
  wireError(InvalidIdempotencyKey),
  wireError(InvalidOperation),
  wireErrorWith("retry-after", TooManyJobs),
  wireError(UnknownOperation),
  wireError(WrongDaemon)
] as const
const bodyErrors = BodyErrors.map((errorClass) => wireError(errorClass))

const id = { id: Schema.String.annotate({ description: "The id of a job" }) }

/** The response to a submitted operation. */
export const SubmittedJob = Schema.Struct({ job_id: Schema.String, sse_url: Schema.String })

/** The response to the cancellation of a job. */
export const CancelledJob = Schema.Struct({ job_id: Schema.String, status: Schema.Literal("cancelled") })

const events = HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" })

const optionalText = (description: string) => Schema.optionalKey(Schema.String.annotate({ description }))

const resume = {
  headers: { "last-event-id": optionalText("The number of the last event that the client has received") },
  query: { after: optionalText("The same as Last-Event-ID, which takes precedence") }
}

/** The job endpoints of a daemon with these operations. */
export const jobsGroup = <Operations extends Schema.Top>(operations: Operations) =>
  HttpApiGroup.make("jobs")
    .add(
      HttpApiEndpoint.post("submit", "/v1/jobs", {
        headers: {
          "idempotency-key": optionalText(
            "1 to 255 visible ASCII characters: the same key with the same body gives the same job"
          ),
          "x-rbee-queen": optionalText(
            "The id of the submitting queen; the daemon keeps the job for a while if the connection is lost"
          )
        },
        payload: operations,
        success: [SubmittedJob, events],
        error: [...bodyErrors, ...submitErrors]
      }).annotateMerge(
        described(
          "Run an operation as a job",
          "With 'Accept: text/event-stream' the response is the full view of the job."
        )
      ),
      HttpApiEndpoint.get("list", "/v1/jobs", {
        success: Schema.Struct({ jobs: Schema.Array(JobRecord) })
      }).annotateMerge(described("The retained jobs, newest first")),
      HttpApiEndpoint.get("get", "/v1/jobs/:id", {
        params: id,
        success: JobRecord,
        error: jobNotFound
      }).annotateMerge(described("One job")),
      HttpApiEndpoint.delete("cancel", "/v1/jobs/:id", {
        params: id,
        success: CancelledJob,
        error: [jobNotFound, jobEnded]
      }).annotateMerge(described("Cancel a job", "The daemon responds after the work has stopped.")),
      HttpApiEndpoint.get("stream", "/v1/jobs/:id/stream", {
        params: id,
        ...resume,
        success: events,
        error: [jobNotFound, invalidEventId]
      }).annotateMerge(
        described(
          "The plain view of a job",
          "Each event is text; the last one is '[DONE]', '[ERROR] <sentence>' or '[CANCELLED]'."
        )
      ),
      HttpApiEndpoint.get("events", "/v1/jobs/:id/events", {
        params: id,
        ...resume,
        success: events,
        error: [jobNotFound, invalidEventId]
      }).annotateMerge(
        described(
          "The full view of a job",
          "Each event has an id, a kind (event) and JSON data; the last kind is done, failed or cancelled."
        )
      )
    )
    .middleware(DaemonAccess)
    .annotateMerge(OpenApi.annotations({ title: "Jobs" }))

/** What a daemon reports about itself. Daemons of other versions may report less. */
export const BuildInfo = Schema.Struct({
  name: Schema.String,
  version: Schema.optionalKey(Schema.String),
  /** The id of the daemon's process. */
  pid: Schema.optionalKey(Schema.Int),
  node: Schema.optionalKey(Schema.String),
  /** The versions of the engines, by their name. */
  engines: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
export type BuildInfo = typeof BuildInfo.Type

const text = Schema.String.pipe(HttpApiSchema.asText())

const DaemonGroup = HttpApiGroup.make("daemon")
  .add(
    HttpApiEndpoint.get("buildInfo", "/v1/build-info", { success: BuildInfo }).annotateMerge(
      described("Name and versions")
    ),
    HttpApiEndpoint.post("shutdown", "/v1/shutdown", {
      success: Schema.Struct({ status: Schema.Literal("stopping") })
    }).annotateMerge(described("Stop the daemon gracefully")),
    HttpApiEndpoint.get("document", "/openapi.json", {
      success: Schema.Record(Schema.String, Schema.Json)
    }).annotateMerge(described("This document (OpenAPI 3.1)")),
    HttpApiEndpoint.get("docs", "/docs", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html" }))
    }).annotateMerge(described("This document as a page")),
    HttpApiEndpoint.get("root", "/", { success: text, error: wireError(NotFound) }).annotateMerge(
      described("A text by which clients detect a daemon")
    )
  )
  .middleware(DaemonAccess)
  .add(
    HttpApiEndpoint.get("health", "/health", { success: text })
      .middleware(OpenAccess)
      .annotateMerge(described("Whether the daemon is running", "Needs no credential and accepts any Host."))
  )
  .annotateMerge(OpenApi.annotations({ title: "Daemon" }))

const QueenGroup = HttpApiGroup.make("queen")
  .add(
    HttpApiEndpoint.post("heartbeat", "/v1/heartbeat", {
      payload: Heartbeat,
      success: Schema.Struct({ status: Schema.Literal("ok"), message: Schema.String }),
      error: [...bodyErrors, wireError(InvalidHeartbeat)]
    }).annotateMerge(described("Report a hive and its workers"))
  )
  .middleware(DaemonAccess)
  .annotateMerge(OpenApi.annotations({ title: "Queen" }))

const HiveGroup = HttpApiGroup.make("hive")
  .add(
    HttpApiEndpoint.get("capabilities", "/v1/capabilities", { success: Capabilities }).annotateMerge(
      described("The devices of the hive")
    ),
    HttpApiEndpoint.get("olderCapabilities", "/capabilities", { success: Capabilities }).annotateMerge(
      described("The same, at the path of older hives")
    ),
    HttpApiEndpoint.get("heartbeat", "/v1/heartbeat", { success: Heartbeat }).annotateMerge(
      described("The current heartbeat, for a queen that the hive cannot reach")
    ),
    HttpApiEndpoint.get("inventory", "/v1/inventory", { success: HiveInventory }).annotateMerge(
      described("Devices with their free memory, models and workers")
    )
  )
  .middleware(DaemonAccess)
  .annotateMerge(OpenApi.annotations({ title: "Hive" }))

/** The endpoints that every daemon has. */
export const DaemonApi = HttpApi.make("rbee").add(jobsGroup(Operation), DaemonGroup)

/** The endpoints of a queen, except the application endpoints. */
export const QueenDaemonApi = DaemonApi.add(QueenGroup)

/** The endpoints of a hive, except the application endpoints. */
export const HiveDaemonApi = DaemonApi.add(HiveGroup)

/** The endpoints of queens and hives, for a client of both. */
export const AnyDaemonApi = DaemonApi.add(QueenGroup, HiveGroup)
