import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import type * as http from "node:http"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FakeHive } from "../../src/testing/FakeHive.ts"
import { eventStream, hiveWith, json } from "../support/rawAnswers.ts"
import { rbee, temporaryFolder } from "../support/rbee.ts"

const event = (id: number, kind: string, data: unknown) =>
  `id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`
const narration = { actor: "qn-router", action: "route_job", message: "Executing operation: infer" }
const done = { queued_ms: 0, run_ms: 1 }
const result = { text: "Hello world", finish_reason: "stop", usage: {} }
const tokens =
  event(1, "narration", narration) +
  event(2, "token", { text: "Hello" }) +
  event(3, "token", { text: " world" }) +
  event(4, "result", result) +
  event(5, "done", done)

/** A fake queen: what a hive answers for jobs is what a queen answers too. */
const fakeQueen = (events: string | ((response: http.ServerResponse) => void)) =>
  FakeHive.makeRaw((request, response, body) =>
    request.url === "/v1/build-info"
      ? json(response, { name: "queen" })
      : hiveWith(events)(request, response, body)
  )

const infer = (url: string) => ["infer", "--queen", url, "--hive-id", "atlas", "--model", "m", "once upon"]

describe("infer", () => {
  it.live("prints the text to stdout and everything else to stderr", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(tokens)
      const ran = yield* rbee(yield* temporaryFolder, infer(queen.url))
      assert.deepStrictEqual(ran, {
        code: 0,
        stdout: "Hello world\n",
        stderr: "[qn-router ] route_job      : Executing operation: infer\n"
      })
      assert.deepStrictEqual(JSON.parse(queen.requests.find(({ method }) => method === "POST")?.body ?? ""), {
        operation: "infer",
        hive_id: "atlas",
        model: "m",
        prompt: "once upon",
        max_tokens: 256,
        temperature: 0.7,
        stream: true
      })
    })
  )

  it.live("prints tokens on arrival", () =>
    Effect.gen(function* () {
      let rest: (() => void) | undefined
      const queen = yield* fakeQueen((response) => {
        response.write(event(1, "token", { text: "first" }))
        rest = () => response.end(event(2, "token", { text: " second" }) + event(3, "done", done))
      })
      const ran = yield* rbee(yield* temporaryFolder, infer(queen.url), {
        onStdout: (_child, stdout) => {
          if (stdout === "first") rest?.()
        }
      })
      assert.strictEqual(ran.stdout, "first second\n")
    })
  )

  it.live("prints one line per event with --json", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(tokens)
      const ran = yield* rbee(yield* temporaryFolder, [...infer(queen.url), "--json"])
      assert.deepStrictEqual(
        ran.stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line)),
        [
          { id: 1, event: "narration", data: narration },
          { id: 2, event: "token", data: { text: "Hello" } },
          { id: 3, event: "token", data: { text: " world" } },
          { id: 4, event: "result", data: result },
          { id: 5, event: "done", data: done }
        ]
      )
    })
  )

  it.live("reads the prompt from standard input", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(tokens)
      const args = ["infer", "--queen", queen.url, "--hive-id", "atlas", "--model", "m", "-"]
      yield* rbee(yield* temporaryFolder, args, { stdin: "from stdin\nsecond line" })
      assert.include(
        queen.requests.find(({ method }) => method === "POST")?.body,
        `"prompt":"from stdin\\nsecond line"`
      )
    })
  )

  it.live("resumes a broken stream without losing or repeating an event", () =>
    Effect.gen(function* () {
      let times = 0
      const queen = yield* FakeHive.makeRaw((request, response, body) => {
        if (request.url === "/v1/build-info") return json(response, { name: "queen" })
        if (request.url?.includes("/events") !== true) return hiveWith("")(request, response, body)
        eventStream(response)
        if (times++ === 0) {
          response.write(event(1, "token", { text: "one" }), () => response.socket?.resetAndDestroy())
          return
        }
        response.end(event(2, "token", { text: " two" }) + event(3, "done", done))
      })
      const ran = yield* rbee(yield* temporaryFolder, infer(queen.url))
      assert.strictEqual(ran.stdout, "one two\n")
      assert.strictEqual(queen.requests.at(-1)?.path, "/v1/jobs/job-7/events?after=1")
    })
  )
})

describe("exit codes", () => {
  it.live("1 if the job failed, with its message", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(event(1, "failed", { error: { code: "X", message: "No such model" } }))
      const ran = yield* rbee(yield* temporaryFolder, infer(queen.url))
      assert.deepStrictEqual(ran, { code: 1, stdout: "", stderr: "❌ Error: No such model\n" })
    })
  )

  it.live("1 if the job was cancelled", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(event(1, "cancelled", {}))
      assert.strictEqual((yield* rbee(yield* temporaryFolder, infer(queen.url))).code, 1)
    })
  )

  it.live("1 if the queen does not respond, with a message", () =>
    Effect.gen(function* () {
      const ran = yield* rbee(yield* temporaryFolder, ["hive", "list", "--queen", "http://127.0.0.1:9"])
      assert.strictEqual(ran.code, 1)
      assert.include(ran.stderr, "❌ Error: Cannot reach a queen at http://127.0.0.1:9")
    })
  )

  it.live("2 for an invalid hive id, with one line, before anything is written", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      for (const id of ["../x", "auto", "a b"]) {
        for (const args of [["hive", "serve"], ["hive", "serve", "--detach"], ["stop"]]) {
          const ran = yield* rbee(home, [...args, "--hive-id", id])
          assert.deepStrictEqual(ran, {
            code: 2,
            stdout: "",
            stderr: `❌ Error: Invalid --hive-id '${id}': expected 1 to 128 letters, digits, '.', '_' or '-', and not 'auto'\n`
          })
        }
      }
      assert.deepStrictEqual(readdirSync(home), [])
    })
  )

  it.live("2 for a usage error, with nothing on stdout", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const wrong = [
        ["infer", "--model", "m"],
        ["infer", "a prompt"],
        ["infer", "--model", "m", "--max-tokens", "many", "x"],
        ["infer", "--queen", "http://127.0.0.1:9", "--model", "m", "--temperature", "-1", "x"],
        ["nonsense"],
        ["worker", "get"],
        ["hive", "list", "--nonsense"]
      ]
      for (const args of wrong) {
        const { code, stderr, stdout } = yield* rbee(home, args)
        assert.deepStrictEqual([code, stdout], [2, ""], args.join(" "))
        assert.isNotEmpty(stderr)
      }
    })
  )

  it.live("130 on Ctrl+C, which cancels the job", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(
        (response) => void response.write(event(1, "token", { text: "endless" }))
      )
      const ran = yield* rbee(yield* temporaryFolder, infer(queen.url), {
        onStdout: (child) => child.kill("SIGINT")
      })
      assert.strictEqual(ran.code, 130)
      assert.deepInclude(queen.requests.at(-1), { method: "DELETE", path: "/v1/jobs/job-7" })
    })
  )

  it.live("exits silently when the reader of its output exits", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* fakeQueen(tokens.replace("Hello", "H".repeat(300_000)))
      const bin = new URL("../../dist/bin.js", import.meta.url).pathname
      const stderr = yield* Effect.callback<string>((resume) => {
        const script = `"${process.execPath}" "${bin}" ${infer(queen.url).slice(0, -1).join(" ")} x | head -c 3`
        const child = spawn("sh", ["-c", script], { env: { ...process.env, RBEE_HOME: home } })
        let text = ""
        child.stderr.on("data", (chunk: Buffer) => {
          text += chunk.toString()
        })
        child.on("close", () => resume(Effect.succeed(text)))
      })
      assert.strictEqual(stderr, "[qn-router ] route_job      : Executing operation: infer\n")
    })
  )
})

describe("results", () => {
  const workers = { workers: [{ id: "w1", model: "m", state: "ready", worker: "cpu", device: 0 }] }
  const list = (url: string) => ["worker", "list", "--hive-id", "atlas", "--queen", url]

  it.live("are tables, and one document with --json", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* fakeQueen(event(1, "result", workers) + event(2, "done", done))
      const table = yield* rbee(home, list(queen.url))
      assert.strictEqual(table.stdout, "id  model  state  worker  device\nw1  m      ready  cpu     0\n")
      const document = yield* rbee(home, [...list(queen.url), "--json"])
      assert.deepStrictEqual(JSON.parse(document.stdout), workers)
    })
  )

  it.live("of an older hive are printed as lines, and with --json as events", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const lines = ["id  model", "w1  m"]
      const events = lines.map((text, i) => event(i + 1, "line", { text })).join("")
      const queen = yield* fakeQueen(events + event(3, "done", done))
      assert.strictEqual((yield* rbee(home, list(queen.url))).stdout, "id  model\nw1  m\n")
      const { stdout } = yield* rbee(home, [...list(queen.url), "--json"])
      assert.deepStrictEqual(
        stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line)),
        lines.map((text, i) => ({ id: i + 1, event: "line", data: { text } }))
      )
    })
  )

  it.live("status, stop and jobs start no daemon; stop succeeds if nothing runs", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const env = { RBEE_QUEEN_PORT: "1" }
      const status = yield* rbee(home, ["status"], { env })
      assert.strictEqual(status.code, 0)
      assert.include(status.stderr, "The queen is not running")
      for (const args of [["stop"], ["queen", "stop"], ["queen", "status"]]) {
        assert.strictEqual((yield* rbee(home, args, { env })).code, 0, args.join(" "))
      }
      const jobs = yield* rbee(home, ["jobs", "list"], { env })
      assert.strictEqual(jobs.code, 1)
      assert.include(jobs.stderr, "connection refused")
    })
  )

  it.live("reads the queen's URL from the flag, then from the environment", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* fakeQueen(event(1, "result", workers) + event(2, "done", done))
      const env = { RBEE_QUEEN_URL: queen.url }
      assert.strictEqual((yield* rbee(home, ["worker", "list", "--hive-id", "atlas"], { env })).code, 0)
      const wrong = { RBEE_QUEEN_URL: "http://127.0.0.1:9" }
      assert.strictEqual((yield* rbee(home, list(queen.url), { env: wrong })).code, 0)
    })
  )

  it.live("runs any operation from an argument or standard input", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      const queen = yield* fakeQueen(event(1, "result", { danced: true }) + event(2, "done", done))
      const body = `{"operation":"dance","hive_id":"atlas"}`
      const byArgument = yield* rbee(home, ["op", "--queen", queen.url, "--json", body])
      assert.deepStrictEqual(JSON.parse(byArgument.stdout), { danced: true })
      yield* rbee(home, ["op", "--queen", queen.url], { stdin: body })
      assert.deepStrictEqual(
        queen.requests.filter(({ method }) => method === "POST").map((asked) => asked.body),
        [body, body]
      )
    })
  )

  it.live("shows each setting with its source, and reports errors with line and field", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      mkdirSync(join(home, "config"))
      writeFileSync(
        join(home, "config", "config.toml"),
        '[workers]\nidle_stop = "30m"\n[colour]\nof = "sky"\n'
      )
      const env = { RBEE_QUEEN_PORT: "9123" }
      const shown = yield* rbee(home, ["config", "show", "--json"], { env })
      const { settings } = JSON.parse(shown.stdout)
      const find = (key: string) => settings.find(({ setting }: { setting: string }) => setting === key)
      assert.deepInclude(find("queen.port"), { value: "9123", from: "RBEE_QUEEN_PORT" })
      assert.deepInclude(find("workers.idle_stop"), {
        value: "30m",
        from: join(home, "config", "config.toml")
      })
      assert.deepInclude(find("timeouts.connect"), { value: "2s", from: "default" })
      const paths = JSON.parse((yield* rbee(home, ["config", "path", "--json"])).stdout)
      assert.strictEqual(paths.models, join(home, "data", "models"))

      const good = yield* rbee(home, ["config", "check"])
      assert.strictEqual(good.code, 0)
      assert.include(good.stderr, "unknown setting 'colour.of'")
      writeFileSync(
        join(home, "config", "hives.conf"),
        "Host atlas\n  HostName 192.0.2.1\n  User me\n  HivePort 0\n"
      )
      const bad = yield* rbee(home, ["config", "check"])
      assert.strictEqual(bad.code, 1)
      assert.include(
        bad.stderr,
        "hives.conf, line 4, host 'atlas': HivePort: expected a port from 1 to 65535, got '0'"
      )
    })
  )

  it.live("prints units for systemd and launchd, and writes no file", () =>
    Effect.gen(function* () {
      const home = join(yield* temporaryFolder, 'a "b" %c $d <e>')
      mkdirSync(home)
      const systemd = yield* rbee(home, [
        "hive",
        "service",
        "--print",
        "--kind",
        "systemd",
        "--hive-id",
        "atlas"
      ])
      assert.strictEqual(systemd.code, 0, systemd.stderr)
      assert.include(systemd.stdout, 'a \\"b\\" %%c $d <e>"\n')
      assert.match(
        systemd.stdout,
        /^ExecStart="[^"]+" "--single-threaded-gc" "--v8-pool-size=1" "--invocation-count-for-turbofan=30000" "--heap-growing-percent=150" "--no-allocation-site-pretenuring" "--max-semi-space-size=8" "[^"]+bin\.js" "hive" "serve" "--hive-id" "atlas"$/m
      )
      const launchd = yield* rbee(home, ["hive", "service", "--print", "--kind", "launchd"])
      assert.include(launchd.stdout, "a &quot;b&quot; %c $d &lt;e&gt;")
      assert.strictEqual((yield* rbee(home, ["hive", "service"])).code, 2)
      assert.deepStrictEqual(readdirSync(home), [])
    })
  )

  it.live("prints the JSON Schema of every operation", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* rbee(yield* temporaryFolder, ["op", "--schema"])
      assert.strictEqual(code, 0)
      assert.strictEqual(Object.keys(JSON.parse(stdout)).length, 26)
    })
  )
})

describe("worker spawn", () => {
  it.live("sends the device index only if --device is given", () =>
    Effect.gen(function* () {
      const queen = yield* fakeQueen(event(1, "done", done))
      const home = yield* temporaryFolder
      const spawn = ["worker", "spawn", "--queen", queen.url, "--hive-id", "atlas", "--model", "m"]
      const given = [[], ["--worker", "gpu-3"], ["--worker", "cuda", "--device", "2"], ["--device", "0"]]
      for (const more of given) yield* rbee(home, [...spawn, ...more])
      assert.deepStrictEqual(
        queen.requests.filter(({ method }) => method === "POST").map(({ body }) => JSON.parse(body).device),
        [undefined, undefined, 2, 0]
      )
    })
  )
})

describe("help", () => {
  it.live("prints help and version to stdout", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      for (const args of [["--help"], ["infer", "--help"], ["hive", "start", "--help"]]) {
        const { code, stdout } = yield* rbee(home, args)
        assert.strictEqual(code, 0)
        assert.include(stdout, "USAGE")
      }
      assert.match((yield* rbee(home, ["--version"])).stdout, /^rbee v\d+\.\d+\.\d+\n$/)
    })
  )

  it.live("prints completions for bash, zsh and fish", () =>
    Effect.gen(function* () {
      const home = yield* temporaryFolder
      for (const shell of ["bash", "zsh", "fish"]) {
        const { code, stdout } = yield* rbee(home, ["--completions", shell])
        assert.strictEqual(code, 0)
        assert.include(stdout, "rbee")
        if (shell !== "bash") continue
        const complete = `source /dev/stdin <<'EOF'\n${stdout}\nEOF\nCOMP_WORDS=(rbee wor); COMP_CWORD=1; COMP_LINE="rbee wor"; COMP_POINT=8; $(complete -p rbee | sed 's/.*-F \\([^ ]*\\).*/\\1/') rbee wor rbee; echo "\${COMPREPLY[@]}"`
        const ran = spawnSync("bash", ["-c", complete], { encoding: "utf8" })
        assert.strictEqual(ran.stdout.trim(), "worker", ran.stderr)
      }
    })
  )
})
