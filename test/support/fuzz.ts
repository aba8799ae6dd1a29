import { readFileSync, writeFileSync } from "node:fs"
import { Cause, Effect } from "effect"
import { Random } from "./Random.ts"

const seedsFile = new URL("../fuzz/seeds.json", import.meta.url)

/** The seeds that failed once, by target; each run begins with them. */
const kept: Record<string, Array<number>> = JSON.parse(readFileSync(seedsFile, "utf8"))

/** With `npm run fuzz`: the seconds for each target, in place of a number of inputs. */
const seconds = Number(process.env["RBEE_FUZZ_SECONDS"] ?? 0)
/** A run on demand begins elsewhere each time; the usual run is the same each time. */
const firstSeed = seconds === 0 ? 1 : Math.floor(Math.random() * 2 ** 31)

/** How long one input may take; also on a machine that does more. */
const maxMillis = 2000
const maxGrowth = 400 * 1024 * 1024

/** The time that a test with this target may take. */
export const fuzzTimeout = 60_000 + seconds * 2000

const keep = (target: string, seed: number) => {
  const seeds = (kept[target] ??= [])
  if (!seeds.includes(seed)) seeds.push(seed)
  writeFileSync(seedsFile, `${JSON.stringify(kept, null, 2)}\n`)
}

/**
 * Checks `count` inputs, each made by a seed, after those that failed once. A check that fails, throws or takes too long
 * fails the test with its seed, which is kept in `test/fuzz/seeds.json`.
 */
export const fuzz = Effect.fnUntraced(function* <E, R>(
  target: string,
  count: number,
  check: (random: Random) => Effect.Effect<void, E, R>
) {
  const before = process.memoryUsage().heapUsed
  const begun = performance.now()
  const attempt = Effect.fnUntraced(function* (seed: number) {
    const from = performance.now()
    const exit = yield* Effect.exit(Effect.suspend(() => check(new Random(seed))))
    const took = performance.now() - from
    if (exit._tag === "Success" && took < maxMillis) return
    keep(target, seed)
    const reason = exit._tag === "Success" ? `it took ${Math.round(took)} ms` : Cause.pretty(exit.cause)
    throw new Error(`${target}, seed ${seed} (kept in test/fuzz/seeds.json): ${reason}`)
  })
  const old = kept[target] ?? []
  for (const seed of old) yield* attempt(seed)
  const goesOn = (done: number) => (seconds === 0 ? done < count : performance.now() - begun < seconds * 1000)
  for (let done = 0; goesOn(done); done++) yield* attempt(firstSeed + done)
  const growth = process.memoryUsage().heapUsed - before
  if (growth > maxGrowth) throw new Error(`${target}: the heap grew by ${growth} bytes`)
})

const fragments = [
  "",
  "\0",
  "\n",
  "\r",
  "\r\n\r\n",
  ":",
  " ",
  '"',
  "\\",
  "\u2028",
  "\uFEFF",
  "\uD800",
  "\u00e4\u20ac\u{1F600}",
  "null",
  "-1",
  "1e999",
  "9007199254740993",
  "true",
  "[]",
  "{}",
  "[[[[[[[[[[",
  '{"__proto__":{"a":1}}',
  "constructor",
  "../../etc/passwd",
  "%00",
  "data: ",
  "id: ",
  "event: ",
  "Host *",
  "[[a]]",
  "'''",
  "x".repeat(200)
]

/** A text that is made from one of the templates by some cuts, repetitions and insertions. */
export const mutated = (random: Random, templates: ReadonlyArray<string>): string => {
  let text = random.pick(templates)
  for (let left = random.whole(0, 4); left > 0; left--) {
    const from = random.whole(0, text.length)
    const to = Math.min(text.length, from + random.whole(0, 12))
    const slice = text.slice(from, to)
    text =
      text.slice(0, from) +
      random.pick([
        "",
        slice.repeat(3),
        random.pick(fragments),
        random.pick(templates),
        String.fromCharCode(random.whole(0, 65_535))
      ]) +
      text.slice(random.pick([from, to]))
  }
  return text
}

/** A JSON value of a few levels. */
export const anyJson = (random: Random, depth = 3): unknown => {
  const kind = random.whole(0, depth === 0 ? 4 : 6)
  if (kind === 0) return null
  if (kind === 1) return random.chance(0.5)
  if (kind === 2) return random.pick([0, -1, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, random.whole(0, 70_000)])
  if (kind < 5) return random.pick(fragments)
  const values = Array.from({ length: random.whole(0, 3) }, () => anyJson(random, depth - 1))
  return kind === 5
    ? values
    : Object.fromEntries(values.map((value) => [random.pick([...fragments, "a", "model"]), value]))
}
