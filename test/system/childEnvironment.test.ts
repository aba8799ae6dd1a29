import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { environmentWithoutSecrets } from "../../src/system/childEnvironment.ts"
import { DetachedProcess } from "../../src/system/DetachedProcess.ts"
import { temporaryFolder } from "../support/rbee.ts"

const secrets = {
  RBEE_TOKEN: "secret-1",
  HF_TOKEN: "secret-2",
  HUGGING_FACE_HUB_TOKEN: "secret-3",
  OTEL_EXPORTER_OTLP_HEADERS: "authorization=secret-4",
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: "authorization=secret-5",
  HTTPS_PROXY: "http://me:secret-6@proxy.example:3128",
  http_proxy: "me:secret-7@proxy.example:3128"
}

const others = { PATH: "/bin", HTTP_PROXY: "http://proxy.example:3128", NO_PROXY: "me@here", RBEE_HOME: "/x" }

describe("the environment of an engine", () => {
  it("has none of the secrets of rbee, and all the rest", () => {
    assert.deepStrictEqual(environmentWithoutSecrets({ ...secrets, ...others, NONE: undefined }), others)
  })

  it.live("is what a process that is started gets, unless it is a daemon of rbee", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const before = { ...process.env }
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, secrets)),
        () =>
          Effect.sync(() => {
            for (const name of Object.keys(secrets)) delete process.env[name]
            Object.assign(process.env, before)
          })
      )
      const printed = Effect.fnUntraced(function* (inheritsSecrets: boolean) {
        const logFile = join(folder, String(inheritsSecrets))
        const { start } = yield* DetachedProcess
        const started = yield* start({
          command: "env",
          args: [],
          logFile,
          env: { OWN: "1" },
          inheritsSecrets
        })
        yield* started.exited
        return readFileSync(logFile, "utf8")
      }, Effect.provide(DetachedProcess.layer))
      const engine = yield* printed(false)
      assert.include(engine, "OWN=1")
      assert.include(engine, "PATH=")
      assert.notInclude(engine, "secret-")
      const daemon = yield* printed(true)
      for (const value of Object.values(secrets)) assert.include(daemon, value)
    })
  )
})
