import { assert, describe, it } from "@effect/vitest"
import {
  addressesByAlias,
  type HiveFacts,
  knownHive,
  markDuplicates,
  rejectedHive
} from "../../../src/queen/registry/HiveRecord.ts"

const active = 30_000
const now = 100_000
const defaultUrl = "http://127.0.0.1:8081"
const reportedUrl = "http://10.0.0.7:8081"

const facts = (changes: Partial<HiveFacts> = {}): HiveFacts => ({
  alias: "atlas",
  configuredUrl: undefined,
  defaultUrl,
  token: undefined,
  heartbeat: undefined,
  lastSeen: undefined,
  failure: undefined,
  warning: undefined,
  ...changes
})

const heartbeatAt = (at: number) => ({
  at,
  url: reportedUrl,
  instance: "i1",
  workers: [{ worker_id: "w1", state: "ready" }]
})

const recordOf = (changes: Partial<HiveFacts>) => knownHive(facts(changes), now, active).record

describe("knownHive", () => {
  it("is active for a time after a sign of life, of whatever kind", () => {
    assert.strictEqual(recordOf({ heartbeat: heartbeatAt(now - active + 1) }).state, "active")
    assert.strictEqual(recordOf({ heartbeat: heartbeatAt(now - active) }).state, "stale")
    assert.strictEqual(recordOf({ heartbeat: heartbeatAt(0), lastSeen: now - 1 }).state, "active")
    assert.strictEqual(recordOf({ lastSeen: now - active }).state, "unknown")
  })

  it("has the state and reason of a failure, whatever its last heartbeat", () => {
    const failure = { state: "stopped", reason: "stopped by this queen" } as const
    const record = recordOf({ heartbeat: heartbeatAt(now), failure })
    assert.deepStrictEqual([record.state, record.reason], ["stopped", "stopped by this queen"])
    assert.notProperty(record, "workers")
  })

  it("has the address of hives.conf, else of its heartbeat, else the default", () => {
    const heartbeat = heartbeatAt(now)
    const configured = recordOf({ heartbeat, configuredUrl: "http://10.0.0.9:9081" })
    assert.deepStrictEqual([configured.url, configured.source], ["http://10.0.0.9:9081", "config"])
    const reported = recordOf({ heartbeat })
    assert.deepStrictEqual([reported.url, reported.source], [reportedUrl, "heartbeat"])
    const assumed = recordOf({})
    assert.deepStrictEqual([assumed.url, assumed.source], [defaultUrl, "default"])
  })

  it("is at the default address again when it is localhost and silent; others keep theirs", () => {
    const heartbeat = heartbeatAt(now - active)
    assert.strictEqual(recordOf({ alias: "localhost", heartbeat }).url, defaultUrl)
    assert.strictEqual(recordOf({ alias: "localhost", heartbeat: heartbeatAt(now) }).url, reportedUrl)
    assert.strictEqual(recordOf({ heartbeat }).url, reportedUrl)
  })

  it("has the workers of its last heartbeat while it is active", () => {
    const current = knownHive(facts({ heartbeat: heartbeatAt(now), warning: "two" }), now, active)
    assert.deepStrictEqual([current.record.workers, current.workers.length, current.lastSeen], [1, 1, now])
    assert.strictEqual(current.record.last_heartbeat, "1970-01-01T00:01:40.000Z")
    assert.strictEqual(current.record.warning, "two")
    assert.deepStrictEqual(knownHive(facts({ heartbeat: heartbeatAt(0) }), now, active).workers, [])
    assert.notProperty(knownHive(facts(), now, active), "lastSeen")
  })
})

describe("rejectedHive", () => {
  it("is unreachable at its address, for the reason of the rejection", () => {
    const { record } = rejectedHive("atlas", { url: reportedUrl, reason: "no answer" }, undefined)
    assert.deepStrictEqual(record, {
      alias: "atlas",
      url: reportedUrl,
      state: "unreachable",
      reason: "no answer",
      source: "heartbeat"
    })
  })
})

describe("markDuplicates", () => {
  const hive = (alias: string, changes: Partial<HiveFacts> = {}) =>
    knownHive(facts({ alias, ...changes }), now, active)
  const sameAs = (hives: Parameters<typeof markDuplicates>[0], instances: Record<string, string> = {}) =>
    markDuplicates(hives, (alias) => instances[alias]).map((marked) => marked.sameAs)

  it("marks a later alias of one address, or of one running daemon", () => {
    const [one, two] = [
      hive("one", { configuredUrl: "http://a:1" }),
      hive("two", { configuredUrl: "http://a:1" })
    ]
    assert.deepStrictEqual(sameAs([one, two]), [undefined, "one"])
    const other = hive("three", { configuredUrl: "http://b:1" })
    assert.deepStrictEqual(sameAs([one, other], { one: "i1", three: "i1" }), [undefined, "one"])
    assert.deepStrictEqual(sameAs([one, other], { one: "i1", three: "i2" }), [undefined, undefined])
  })

  it("shows the mark in the record", () => {
    const configuredUrl = "http://a:1"
    const [, second] = markDuplicates(
      [hive("one", { configuredUrl }), hive("two", { configuredUrl })],
      () => undefined
    )
    assert.strictEqual(second?.record.same_as, "one")
  })

  it("does not take an address that is only assumed for that of another hive", () => {
    assert.deepStrictEqual(sameAs([hive("localhost"), hive("local", { configuredUrl: defaultUrl })]), [
      undefined,
      undefined
    ])
  })
})

describe("addressesByAlias", () => {
  it("has localhost, the senders of heartbeats, and each alias of hives.conf with its address", () => {
    const entry = { aliases: ["atlas", "titan"], hostName: "::1", hivePort: 9081 }
    assert.deepStrictEqual(
      [...addressesByAlias(["boreas", "atlas"], [entry])],
      [
        ["localhost", undefined],
        ["boreas", undefined],
        ["atlas", "http://[::1]:9081"],
        ["titan", "http://[::1]:9081"]
      ]
    )
  })
})
