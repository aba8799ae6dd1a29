import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { InstallBundle } from "../../../src/queen/ssh/InstallBundle.ts"
import { NodeMissing, NoSpace, ProgramBroken, TransferDamaged } from "../../../src/queen/ssh/installErrors.ts"
import {
  makeIncomingScript,
  removeIncomingScript,
  unpackScript
} from "../../../src/queen/ssh/installScripts.ts"
import { UnexpectedScriptOutput } from "../../../src/queen/ssh/ScriptOutput.ts"
import { Ssh } from "../../../src/queen/ssh/Ssh.ts"
import { type InstallPart, Uploader } from "../../../src/queen/ssh/Uploader.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import { version } from "../../../src/system/Program.ts"

const target = { alias: "atlas", hostName: "10.0.0.7", port: 22, user: "me" }
const node = { version: "24.0.0", file: "/bin/node" }
const part = (kind: InstallPart["kind"]): InstallPart => ({
  kind,
  contents: { root: "/here", files: ["a"], bytes: 100 },
  name: `name of ${kind}`,
  reportedVersion: `version of ${kind}`
})

interface UploadTest {
  readonly parts: ReadonlyArray<InstallPart>
  readonly freeBytes?: number
  /** The output of the script that creates the folder for archives. */
  readonly created?: string
  /** The output of the script that unpacks a part. */
  readonly unpacked?: string
}

/** Uploads to a fake machine; gives the result, the machine's scripts and copies in order, and the narration. */
const upload = Effect.fnUntraced(function* ({ created, freeBytes = 1_000, parts, unpacked }: UploadTest) {
  const calls: Array<string> = []
  const sentences: Array<string> = []
  const run = (script: string, args: ReadonlyArray<string>) => {
    if (script === makeIncomingScript) return ["create", created ?? "rbee:incoming /data/incoming"]
    if (script === removeIncomingScript) return [`remove ${args.join(" ")}`, ""]
    assert.strictEqual(script, unpackScript)
    return [`unpack ${args.join(" ")}`, unpacked ?? "rbee:placed it"]
  }
  const ssh = Layer.mock(Ssh)({
    run: (_target, script, args = []) =>
      Effect.sync(() => {
        const [call = "", output = ""] = run(script, args)
        calls.push(call)
        return output
      }),
    copy: (_target, files, folder) => Effect.sync(() => void calls.push(`copy ${files.join(" ")} ${folder}`))
  })
  const bundle = Layer.mock(InstallBundle)({
    pack: (_contents, name) => Effect.succeed({ file: `/tmp/${name}`, bytes: 2_340_000, sha256: "ab" })
  })
  const machine = {
    platform: "linux",
    arch: "x64",
    backends: [],
    data: "/data",
    nodes: [],
    programs: [],
    engine: undefined,
    freeBytes
  }
  const result = yield* Uploader.use((uploader) =>
    uploader.upload(target, { machine, parts, node }, (_action, sentence) =>
      Effect.sync(() => void sentences.push(sentence))
    )
  ).pipe(
    Effect.provide(Layer.provide(Uploader.layerNoDeps, [ssh, bundle, Settings.layerDefaults()])),
    Effect.result
  )
  return { result, calls, sentences }
})

describe("Uploader", () => {
  it.effect("copies and unpacks part after part, and removes its folder on the machine at the end", () =>
    Effect.gen(function* () {
      const { calls, result, sentences } = yield* upload({ parts: [part("program"), part("engine")] })
      assert.isTrue(Result.isSuccess(result))
      assert.deepStrictEqual(calls, [
        "create",
        "copy /tmp/program /data/incoming",
        "unpack /data/incoming program ab name of program /bin/node version of program",
        "copy /tmp/engine /data/incoming",
        "unpack /data/incoming engine ab name of engine /bin/node version of engine",
        "remove /data/incoming"
      ])
      assert.deepStrictEqual(sentences, [
        `Copying rbee ${version} to 'atlas' (2.3 MB)`,
        "Copying the llama engine to 'atlas' (2.3 MB)"
      ])
    })
  )

  it.effect("runs nothing on the machine without a part, or without space for archive and contents", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* upload({ parts: [] })).calls, [])
      const parts = [part("program"), part("node")]
      assert.isTrue(Result.isSuccess((yield* upload({ parts, freeBytes: 400 })).result))
      const { calls, result } = yield* upload({ parts, freeBytes: 399 })
      assert.deepStrictEqual(calls, [])
      assert.deepStrictEqual(
        result,
        Result.fail(new NoSpace({ hive: "atlas", folder: "/data", freeBytes: 399, neededBytes: 400 }))
      )
    })
  )

  it.effect("fails when the machine does not name its folder for archives", () =>
    Effect.gen(function* () {
      const { calls, result } = yield* upload({ parts: [part("program")], created: "Welcome!" })
      assert.deepStrictEqual(calls, ["create"])
      assert.deepStrictEqual(
        result,
        Result.fail(new UnexpectedScriptOutput({ hive: "atlas", missing: "incoming" }))
      )
    })
  )

  it.effect("fails when a part arrives damaged or does not run, and removes its folder then too", () =>
    Effect.gen(function* () {
      const cases = [
        ["program", "rbee:damaged program", new TransferDamaged({ hive: "atlas", part: "program" })],
        ["program", "rbee:broken Killed", new ProgramBroken({ hive: "atlas", output: "Killed" })],
        [
          "node",
          "rbee:broken no glibc",
          new NodeMissing({
            hive: "atlas",
            found: [],
            needed: "22.19",
            why: "this machine's build is incompatible (no glibc)"
          })
        ]
      ] as const
      for (const [kind, unpacked, error] of cases) {
        const { calls, result } = yield* upload({ parts: [part(kind), part("engine")], unpacked })
        assert.deepStrictEqual(result, Result.fail(error))
        assert.strictEqual(calls.at(-1), "remove /data/incoming")
        assert.lengthOf(calls, 4)
      }
    })
  )
})
