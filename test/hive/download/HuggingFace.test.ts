import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { sha256Of } from "../../support/fileServer.ts"
import { type HubFile, modelHubs, type Repository, revision, textFile } from "../../support/modelHubs.ts"
import { resolving } from "../../support/modelSources.ts"

const file = (text: string): HubFile => ({ content: textFile(text) })
const sha256 = (text: string) => sha256Of(Buffer.from(text))

const many: Repository = {
  files: {
    "README.md": { content: textFile("# Tiny"), lfs: "none" },
    "tiny-q4_k_m.gguf": file("four"),
    "tiny-Q8_0.gguf": { content: textFile("eight"), lfs: "oid" },
    "tiny-F16.gguf": { content: textFile("sixteen"), lfs: "none" },
    "mmproj-F16.gguf": file("eyes"),
    "UD-Q2_K/tiny one-00001-of-00002.gguf": file("one"),
    "UD-Q2_K/tiny one-00002-of-00002.gguf": file("two"),
    "tiny-Q6_K-00001-of-00002.gguf": file("alone")
  }
}

const withListing = (body: string) =>
  modelHubs({ misbehave: (_request, response) => (response.end(body), true) })

describe("Hugging Face", () => {
  it.live("lists a repository, and chooses the preferred file at the revision", () =>
    Effect.gen(function* () {
      const hubs = yield* modelHubs({ repositories: { "org/tiny": many } })
      const model = yield* resolving(hubs)("hf:org/tiny")
      assert.deepStrictEqual(model, {
        folder: "hf/org/tiny",
        from: `${hubs.hub.url}/org/tiny at 0123456789ab`,
        files: [
          {
            url: `${hubs.hub.url}/org/tiny/resolve/${revision}/tiny-q4_k_m.gguf`,
            access: { token: undefined, mayBePrivate: true },
            name: "tiny-q4_k_m.gguf",
            size: 4,
            sha256: sha256("four")
          }
        ]
      })
      assert.deepStrictEqual(
        hubs.hub.seen.map(({ url }) => url),
        ["/api/models/org/tiny?blobs=true"]
      )
    })
  )

  it.live("returns all parts of a split model, with the known checksums", () =>
    Effect.gen(function* () {
      const hubs = yield* modelHubs({ repositories: { "org/tiny": many } })
      const resolve = resolving(hubs)
      const split = yield* resolve("org/tiny:q2_k")
      assert.deepStrictEqual(
        split.files.map(({ name, sha256, url }) => [name, url.split(revision)[1], sha256]),
        [
          ["UD-Q2_K/tiny one-00001-of-00002.gguf", "/UD-Q2_K/tiny%20one-00001-of-00002.gguf", sha256("one")],
          ["UD-Q2_K/tiny one-00002-of-00002.gguf", "/UD-Q2_K/tiny%20one-00002-of-00002.gguf", sha256("two")]
        ]
      )
      assert.strictEqual((yield* resolve("org/tiny:Q8_0")).files[0].sha256, sha256("eight"))
      const [plain] = (yield* resolve("org/tiny:tiny-F16.gguf")).files
      assert.deepStrictEqual([plain.size, plain.sha256], [7, undefined])
      const missing = yield* Effect.flip(resolve("org/tiny:Q6_K"))
      assert.include(missing.message, "has no 'tiny-Q6_K-00002-of-00002.gguf'")
    })
  )

  it.live("lists the available files when none matches", () =>
    Effect.gen(function* () {
      const odd = Object.fromEntries(
        Array.from({ length: 23 }, (_, index) => [`part-${index}\u001b[2J`, file("x")])
      )
      const hubs = yield* modelHubs({ repositories: { "org/tiny": many, "org/odd": { files: odd } } })
      const resolve = resolving(hubs)
      const unknown = yield* Effect.flip(resolve("org/tiny:Q9_X"))
      assert.strictEqual(unknown._tag, "NoSuchFile")
      assert.include(unknown.message, "hf:org/tiny has no GGUF file 'Q9_X'; it has tiny-q4_k_m.gguf, ")
      assert.include(unknown.message, "name one of these after a colon")
      assert.notInclude(unknown.message, "README")
      const none = yield* Effect.flip(resolve("org/odd"))
      assert.match(
        none.message,
        /has no GGUF file of a model; it has part-0\?\[2J, .* and 3 more; take a model/
      )
      assert.notInclude(none.message, "part-20")
    })
  )

  it.live("finds a private repository with HF_TOKEN only, and reports an absent one", () =>
    Effect.gen(function* () {
      const hubs = yield* modelHubs({
        repositories: { "org/hidden": { ...many, token: "hf_secret", hidden: true } }
      })
      const refused = yield* Effect.flip(resolving(hubs)("org/hidden"))
      assert.strictEqual(refused._tag, "DownloadUnauthorized")
      assert.include(refused.message, "HF_TOKEN")
      const { files } = yield* resolving(hubs, { HF_TOKEN: " hf_secret\n" })("org/hidden")
      assert.deepStrictEqual(files[0].access.token, Redacted.make("hf_secret"))
      assert.deepStrictEqual(
        hubs.hub.seen.map(({ authorization }) => authorization),
        [undefined, "Bearer hf_secret"]
      )
      const absent = yield* Effect.flip(resolving(hubs, { HF_TOKEN: "hf_secret" })("org/absent"))
      assert.strictEqual(absent._tag, "DownloadNotFound")
      assert.notInclude(absent.message, "hf_secret")
    })
  )

  it.live("rejects unsafe file names", () =>
    Effect.gen(function* () {
      for (const name of [
        "../../../.ssh/x-Q4_K_M.gguf",
        "/etc/x-Q4_K_M.gguf",
        "a/./x-Q4_K_M.gguf",
        "a//x-Q4_K_M.gguf",
        "a\\..\\x-Q4_K_M.gguf",
        "x\u0000-Q4_K_M.gguf",
        "x\n-Q4_K_M.gguf",
        "x\u202e-Q4_K_M.gguf",
        ".hidden-Q4_K_M.gguf",
        `${"x".repeat(300)}-Q4_K_M.gguf`
      ]) {
        const hubs = yield* modelHubs({ repositories: { "org/evil": { files: { [name]: file("x") } } } })
        const error = yield* Effect.flip(resolving(hubs)("org/evil"))
        assert.strictEqual(error._tag, "HostileFileName", JSON.stringify(name))
        assert.notMatch(error.message, /\p{C}/u)
      }
    })
  )

  it.live("rejects a response that is not a listing, or too long", () =>
    Effect.gen(function* () {
      const sibling = { rfilename: "x-Q4_K_M.gguf", size: 1 }
      const listings: ReadonlyArray<string> = [
        "<html>",
        '{"sha":"0123456789","siblings":[{"rfilename":"x.gg',
        "[]",
        "{}",
        JSON.stringify({ sha: "../..", siblings: [sibling] }),
        JSON.stringify({ sha: revision, siblings: "x" }),
        JSON.stringify({ sha: revision, siblings: [{ ...sibling, size: -1 }] }),
        JSON.stringify({ sha: revision, siblings: [{ ...sibling, lfs: { sha256: "../x" } }] }),
        JSON.stringify({ sha: revision, siblings: [{ ...sibling, rfilename: 7 }] }),
        JSON.stringify({ sha: revision, siblings: [sibling], more: "x".repeat(8_000_001) })
      ]
      for (const listing of listings) {
        const error = yield* Effect.flip(resolving(yield* withListing(listing))("org/tiny"))
        assert.strictEqual(error._tag, "InvalidAnswer", listing.slice(0, 60))
      }
      const fits = JSON.stringify({ sha: revision, siblings: [sibling], more: "x".repeat(7_000_000) })
      assert.strictEqual(
        (yield* resolving(yield* withListing(fits))("org/tiny")).files[0].name,
        sibling.rfilename
      )
    })
  )

  it.live("reports the hub's rate limit", () =>
    Effect.gen(function* () {
      const hubs = yield* modelHubs({
        misbehave: (_request, response) => (response.writeHead(429, { "retry-after": "90" }).end(), true)
      })
      const error = yield* Effect.flip(resolving(hubs)("org/tiny"))
      assert.strictEqual(error._tag, "RateLimited")
      assert.include(error.message, "in 90 s")
    })
  )
})
