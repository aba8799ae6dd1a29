import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, FileSystem, Layer } from "effect"
import { Fetcher } from "../../../src/hive/download/Fetcher.ts"
import { checkRoom } from "../../../src/hive/download/PartFile.ts"
import type { RemoteFile } from "../../../src/hive/download/RemoteModel.ts"
import { Transfer } from "../../../src/hive/download/Transfer.ts"
import { Settings } from "../../../src/settings/Settings.ts"
import {
  contentOf,
  cutAfter,
  fileServer,
  type FileServerOptions,
  generated,
  sha256Of,
  serveFile
} from "../../support/fileServer.ts"
import { mountTmpfs } from "../../support/tmpfs.ts"
import { until } from "../../support/until.ts"

const size = 3_000_000
const partSize = 1_000_000
const content = generated(size)
const sha256 = sha256Of(contentOf(size))

const layer = (models: { retries?: number; connections?: number } = {}, part = partSize) =>
  Transfer.layerWith(part).pipe(
    Layer.provide(Fetcher.layerNoDeps),
    Layer.provideMerge(
      Settings.layerDefaults({
        models: { retries: 3, connections: 2, ...models },
        timeouts: { download: Duration.millis(400), connect: Duration.millis(500) }
      })
    ),
    Layer.provideMerge(NodeServices.layer)
  )

const temporary = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "rbee-transfer-" })
}).pipe(Effect.provide(NodeServices.layer))

const fileAt = (url: string, facts: Partial<RemoteFile> = {}): RemoteFile => ({
  url: `${url}/model.gguf?signature=secret`,
  access: { mayBePrivate: true },
  name: "model.gguf",
  size,
  sha256,
  ...facts
})

/** Fetches from a server that is as the options say, into a folder. */
const fetch = Effect.fnUntraced(function* (folder: string, file: RemoteFile, reports: Array<number> = []) {
  const transfer = yield* Transfer
  return yield* transfer.fetch(file, join(folder, "model.gguf"), join(folder, "incoming"), (bytes) =>
    Effect.sync(() => void reports.push(bytes))
  )
})

const withServer = <A, E>(
  options: Omit<FileServerOptions, "content">,
  test: (
    url: string,
    folder: string,
    sent: () => number,
    server: Effect.Success<ReturnType<typeof fileServer>>
  ) => Effect.Effect<A, E, Transfer>
) =>
  Effect.gen(function* () {
    const server = yield* fileServer({ content, etag: '"one"', ...options })
    const folder = yield* temporary
    return yield* test(server.url, folder, server.sent, server)
  }).pipe(Effect.provide(layer()))

const isWhole = (folder: string) => {
  assert.strictEqual(sha256Of(readFileSync(join(folder, "model.gguf"))), sha256)
  assert.isFalse(existsSync(join(folder, "incoming")))
}

const isMonotone = (reports: ReadonlyArray<number>) =>
  assert.isTrue(
    reports.every((bytes, i) => i === 0 || bytes >= (reports[i - 1] ?? 0)),
    reports.join(" ")
  )

describe("Transfer", () => {
  it.live("fetches a file in parts, each byte once, and verifies it", () =>
    withServer({}, (url, folder, sent) =>
      Effect.gen(function* () {
        const reports: Array<number> = []
        assert.deepStrictEqual(yield* fetch(folder, fileAt(url), reports), { size, sha256 })
        isWhole(folder)
        assert.strictEqual(sent(), size)
        assert.strictEqual(reports.at(-1), size)
        isMonotone(reports)
      })
    )
  )

  it.live("opens more connections when two are slow", () =>
    Effect.gen(function* () {
      const openedAt: Array<number> = []
      let begunAt: number | undefined
      let open = 0
      const server = yield* fileServer({
        content,
        etag: '"one"',
        // The whole file in two seconds from its first part on, so that it is not complete before all are open.
        gate: () => (performance.now() - (begunAt ?? 0)) * 1500,
        misbehave: (_request, response, { range }) => {
          if (range === "bytes=0-0") return
          begunAt ??= performance.now()
          response.on("close", () => open--)
          openedAt[open++] ??= performance.now()
        }
      })
      const folder = yield* temporary
      const askedAt = performance.now()
      yield* fetch(folder, fileAt(server.url))
      isWhole(folder)
      assert.strictEqual(openedAt.length, 4)
      assert.isAtLeast((openedAt[2] ?? 0) - askedAt, 495)
    }).pipe(Effect.provide(layer({ connections: 4 }, 300_000)))
  )

  it.live("resumes each interrupted part within the same transfer", () =>
    withServer(
      { misbehave: cutAfter({ content, etag: '"one"' }, 200_000, (count) => count % 3 !== 0) },
      (url, folder, sent) =>
        Effect.gen(function* () {
          const reports: Array<number> = []
          yield* fetch(folder, fileAt(url), reports)
          isWhole(folder)
          assert.strictEqual(sent(), size)
          isMonotone(reports)
        })
    )
  )

  it.live("resumes after an interruption at any tenth of the file", () =>
    Effect.gen(function* () {
      for (let tenth = 1; tenth < 10; tenth++) {
        const came = (size / 10) * tenth
        const server = yield* fileServer({
          content,
          etag: '"one"',
          // The first asks what the server says of the file.
          misbehave: cutAfter({ content, etag: '"one"' }, came, (count) => count === 2)
        })
        const folder = yield* temporary
        yield* fetch(folder, fileAt(server.url))
        isWhole(folder)
        const ranges = server.seen.map(({ range }) => range)
        const last = size - 1
        assert.deepStrictEqual(ranges, ["bytes=0-0", `bytes=0-${last}`, `bytes=${came}-${last}`])
      }
    }).pipe(Effect.provide(layer({}, size)))
  )

  it.live("gives up when a part fails repeatedly without data, and keeps the received bytes", () =>
    Effect.gen(function* () {
      const server = yield* fileServer({
        content,
        etag: '"one"',
        misbehave: cutAfter({ content, etag: '"one"' }, 0, (count) => count > 2)
      })
      const folder = yield* temporary
      const error = yield* Effect.flip(fetch(folder, fileAt(server.url)))
      assert.strictEqual(error._tag, "DownloadInterrupted")
      assert.include(error.message, "retry to resume")
      assert.notInclude(error.message, "secret")
      assert.isFalse(existsSync(join(folder, "model.gguf")))
      assert.isTrue(existsSync(join(folder, "incoming", "data")))
    }).pipe(Effect.provide(layer({ retries: 1, connections: 1 })))
  )

  it.live("resumes after an interrupt, and fetches at most one part twice", () =>
    Effect.gen(function* () {
      let stalls = true
      const server = yield* fileServer({
        content,
        etag: '"one"',
        misbehave: (request, response, seen) => {
          // The last part stays away until the transfer was interrupted.
          if (!stalls || request.headers.range !== `bytes=2000000-${size - 1}`) return false
          response.writeHead(206, {
            etag: '"one"',
            "content-length": partSize,
            "content-range": `bytes 2000000-${size - 1}/${size}`
          })
          seen.sent += 300_000
          response.write(content.slice(2_000_000, 2_300_000))
          return true
        }
      })
      const folder = yield* temporary
      const reports: Array<number> = []
      const fiber = yield* Effect.forkChild(fetch(folder, fileAt(server.url), reports))
      yield* until(
        Effect.sync(() => reports.at(-1) ?? 0),
        (bytes) => bytes >= 2_000_000
      )
      yield* Fiber.interrupt(fiber)
      assert.isFalse(existsSync(join(folder, "model.gguf")))
      stalls = false
      const later: Array<number> = []
      yield* Effect.provide(fetch(folder, fileAt(server.url), later), Layer.fresh(layer()))
      isWhole(folder)
      assert.isAtLeast(later[0] ?? 0, 2_000_000)
      assert.isAtMost(server.sent(), size + partSize)
    }).pipe(Effect.provide(layer()))
  )

  it.live("resumes after a process was killed between writing the bytes and their count", () =>
    withServer({}, (url, folder, sent) =>
      Effect.gen(function* () {
        // What such a process leaves: the bytes of two parts, the count of one.
        const incoming = join(folder, "incoming")
        mkdirSync(incoming)
        writeFileSync(join(incoming, "data"), contentOf(2 * partSize))
        const counters = Buffer.alloc(3 * 8)
        counters.writeBigUInt64LE(BigInt(partSize), 0)
        writeFileSync(join(incoming, "done"), counters)
        const plan = { url: `${url}/model.gguf`, size, etag: '"one"', sha256, partSize }
        writeFileSync(join(incoming, "plan.json"), JSON.stringify(plan))
        yield* fetch(folder, fileAt(url))
        isWhole(folder)
        assert.strictEqual(sent(), 2 * partSize)
      })
    )
  )

  it.live("starts again when the file on the server has changed", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const incoming = join(folder, "incoming")
      const server = yield* fileServer({ content, etag: '"two"' })
      mkdirSync(incoming)
      writeFileSync(join(incoming, "data"), Buffer.alloc(size))
      writeFileSync(join(incoming, "done"), Buffer.alloc(24, 1))
      const plan = { url: `${server.url}/model.gguf`, size, etag: '"one"', sha256: null, partSize }
      writeFileSync(join(incoming, "plan.json"), JSON.stringify(plan))
      yield* fetch(folder, fileAt(server.url, { sha256: undefined }))
      isWhole(folder)
    }).pipe(Effect.provide(layer()))
  )

  it.live("starts again when the file on the server changes between two parts", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const other = { size, slice: (from: number, to: number) => Buffer.alloc(to - from, 7) }
      let parts = 0
      const server = yield* fileServer({
        content,
        etag: '"one"',
        misbehave: (request, response, seen) => {
          if (seen.range !== "bytes=0-0") parts++
          if (parts <= 1) return false
          serveFile(request, response, { content: other, etag: '"two"' }, seen)
          return true
        }
      })
      yield* fetch(folder, fileAt(server.url, { sha256: undefined }))
      assert.isTrue(readFileSync(join(folder, "model.gguf")).equals(other.slice(0, size)))
    }).pipe(Effect.provide(layer()))
  )

  it.live("fetches from a server without ranges or length in one response", () =>
    Effect.gen(function* () {
      for (const contentLength of [true, false]) {
        const server = yield* fileServer({ content, ranges: false, contentLength })
        const folder = yield* temporary
        yield* fetch(folder, fileAt(server.url, { size: undefined, sha256: undefined }))
        isWhole(folder)
      }
    }).pipe(Effect.provide(layer()))
  )

  it.live("discards a file with a wrong checksum or size", () =>
    withServer({}, (url, folder) =>
      Effect.gen(function* () {
        const checksum = yield* Effect.flip(fetch(folder, fileAt(url, { sha256: "0".repeat(64) })))
        assert.strictEqual(checksum._tag, "WrongChecksum")
        assert.isFalse(existsSync(join(folder, "incoming")))
        const wrong = yield* Effect.flip(fetch(folder, fileAt(url, { size: size + 1 })))
        assert.strictEqual(wrong._tag, "WrongSize")
        assert.isFalse(existsSync(join(folder, "model.gguf")))
      })
    )
  )

  it.live("rejects a range that was not requested, and more bytes than the range has", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const shifted = yield* fileServer({
        content,
        etag: '"one"',
        misbehave: (request, response) => {
          if (request.headers.range === "bytes=0-0") return false
          response.writeHead(206, { "content-range": `bytes 5-${partSize + 4}/${size}` })
          response.end(contentOf(partSize))
          return true
        }
      })
      const error = yield* Effect.flip(fetch(folder, fileAt(shifted.url)))
      assert.strictEqual(error._tag, "InvalidAnswer")
      const longer = yield* fileServer({
        content,
        etag: '"one"',
        misbehave: (request, response) => {
          if (request.headers.range === "bytes=0-0") return false
          const [, range] = /^bytes=(.*)$/.exec(request.headers.range ?? "") ?? []
          response.writeHead(206, { "content-range": `bytes ${range}/${size}` })
          response.end(contentOf(partSize + 1))
          return true
        }
      })
      assert.strictEqual((yield* Effect.flip(fetch(folder, fileAt(longer.url))))._tag, "InvalidAnswer")
    }).pipe(Effect.provide(layer()))
  )

  it.live("reports 401, 403 and 404 at once, and 429 and 5xx after retries", () =>
    Effect.gen(function* () {
      const tagOf = Effect.fnUntraced(function* (status: number) {
        const server = yield* fileServer({
          content,
          misbehave: (_request, response) => {
            response.writeHead(status).end()
            return true
          }
        })
        const error = yield* Effect.flip(fetch(yield* temporary, fileAt(server.url)))
        return [error._tag, server.seen.length] as const
      })
      assert.deepStrictEqual(yield* tagOf(401), ["DownloadUnauthorized", 1])
      assert.deepStrictEqual(yield* tagOf(403), ["DownloadUnauthorized", 1])
      assert.deepStrictEqual(yield* tagOf(404), ["DownloadNotFound", 1])
      assert.deepStrictEqual(yield* tagOf(429), ["RateLimited", 2])
      assert.deepStrictEqual(yield* tagOf(503), ["ServerFailed", 2])
    }).pipe(Effect.provide(layer({ retries: 1 })))
  )

  it.live("waits for the time of Retry-After, and continues", () =>
    withServer(
      {
        misbehave: (_request, response, _seen, count) => {
          if (count > 1) return false
          response.writeHead(429, { "retry-after": "1" }).end()
          return true
        }
      },
      (url, folder) =>
        Effect.gen(function* () {
          const startedAt = Date.now()
          yield* fetch(folder, fileAt(url))
          isWhole(folder)
          assert.isAtLeast(Date.now() - startedAt, 950)
        })
    )
  )

  it.live("treats silence as a broken connection", () =>
    withServer(
      {
        misbehave: (request, response, _seen, count) => {
          if (count !== 2) return false
          const [, range] = /^bytes=(.*)$/.exec(request.headers.range ?? "") ?? []
          response.writeHead(206, { "content-range": `bytes ${range}/${size}`, etag: '"one"' })
          response.write(" ")
          return true
        }
      },
      (url, folder) =>
        Effect.gen(function* () {
          // The byte that came is wrong, and is found out at the end.
          const error = yield* Effect.flip(fetch(folder, fileAt(url)))
          assert.strictEqual(error._tag, "WrongChecksum")
          yield* fetch(folder, fileAt(url))
          isWhole(folder)
        })
    )
  )

  it.live("checks the free space first, and reports a full disk", () =>
    withServer({}, (url, folder) =>
      Effect.gen(function* () {
        const disk = join(folder, "disk")
        mkdirSync(disk)
        if (!mountTmpfs(disk)) {
          // Only root may mount.
          return assert.isNotNull(yield* Effect.flip(checkRoom(disk, 2 ** 52)))
        }
        yield* Effect.gen(function* () {
          const error = yield* Effect.flip(fetch(disk, fileAt(url)))
          assert.strictEqual(error._tag, "DiskFull")
          assert.match(error.message, /needs 3\.0 MB more in .* which has 1\.0 MB free/)
          // Nobody knows how long this one is, until the disk is full.
          const endless = yield* fileServer({ content, ranges: false, contentLength: false })
          const file = fileAt(endless.url, { size: undefined, sha256: undefined })
          const full = yield* Effect.flip(fetch(disk, file))
          assert.strictEqual(full._tag, "DiskFull")
          assert.match(full.message, /needs [12]\.\d MB more in /)
          assert.isFalse(existsSync(join(disk, "model.gguf")))
        }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => execFileSync("umount", [disk]))))
      })
    )
  )
})
