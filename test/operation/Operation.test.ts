import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as Catalog from "../../src/operation/Catalog.ts"
import { Status } from "../../src/operation/fleetOperations.ts"
import { HiveGet, HiveImportSsh, HiveList, HiveStart, SshTest } from "../../src/operation/hiveOperations.ts"
import { Infer } from "../../src/operation/inferenceOperations.ts"
import { Operation, hiveId, operationName, shouldForwardToHive } from "../../src/operation/Operation.ts"
import { WorkerList } from "../../src/operation/workerOperations.ts"

const encode = Schema.encodeSync(Schema.fromJsonString(Operation))

const decode = (value: unknown) => {
  const request = Result.getOrThrow(Catalog.readRequest(JSON.stringify(value)))
  const known = Catalog.builtIn.get(request.name)
  if (known === undefined) throw new Error(`${request.name} is not built in`)
  return Catalog.makeDecoder(known)(request.fields)
}

const fieldsOf = (value: unknown): Record<string, unknown> => ({ ...Result.getOrThrow(decode(value)) })

const refusalOf = (value: unknown) => {
  const refused = Result.flip(decode(value))
  return Result.getOrThrow(refused)
}

describe("the wire", () => {
  it("has the pinned bytes", () => {
    assert.strictEqual(encode(new HiveList()), `{"operation":"hive_list"}`)
    assert.strictEqual(encode(new HiveStart({})), `{"operation":"hive_start","alias":"localhost"}`)
  })

  it("does not write absent fields", () => {
    const infer = new Infer({
      hive_id: "atlas",
      model: "rbee:tiny",
      prompt: "a",
      max_tokens: 4,
      temperature: 0
    })
    assert.strictEqual(
      encode(infer),
      `{"operation":"infer","hive_id":"atlas","model":"rbee:tiny","prompt":"a","max_tokens":4,"temperature":0,"stream":true}`
    )
  })

  it.prop("round-trips every operation", [Operation], ([operation]) => {
    const again = Result.getOrThrow(decode(JSON.parse(encode(operation))))
    // JSON has one zero only, so the texts are compared.
    assert.strictEqual(again.constructor, operation.constructor)
    assert.strictEqual(JSON.stringify(again), encode(operation))
    assert.strictEqual(again.operation, operationName(operation))
  })

  const names = [...Catalog.builtIn.keys()] as const
  const Almost = Schema.Struct({
    operation: Schema.Literals(names),
    hive_id: Schema.Json,
    alias: Schema.optionalKey(Schema.Json),
    model: Schema.optionalKey(Schema.Json),
    device: Schema.optionalKey(Schema.Json)
  })

  it.prop(
    "decodes or refuses arbitrary JSON, and never throws",
    [Schema.Union([Schema.Json, Almost])],
    ([value]) => {
      const request = Catalog.readRequest(JSON.stringify(value))
      if (Result.isFailure(request)) return assert.isNotEmpty(request.failure.message)
      const known = Catalog.builtIn.get(request.success.name)
      if (known === undefined) return
      const decoded = Catalog.makeDecoder(known)(request.success.fields)
      if (Result.isFailure(decoded)) assert.isNotEmpty(decoded.failure.message)
    }
  )

  it.prop("refuses arbitrary text, and never throws", [Schema.String], ([text]) => {
    const request = Catalog.readRequest(text)
    if (Result.isFailure(request)) assert.isNotEmpty(request.failure.message)
  })
})

describe("defaults", () => {
  it("defaults the alias to localhost where the operation has a default", () => {
    for (const operation of ["hive_start", "hive_stop", "hive_get", "hive_status"]) {
      for (const alias of [undefined, null]) {
        const decoded = Result.getOrThrow(decode({ operation, alias }))
        assert.strictEqual("alias" in decoded ? decoded.alias : undefined, "localhost", operation)
      }
    }
  })

  it("rejects a missing alias where the operation has no default", () => {
    for (const operation of ["hive_install", "hive_uninstall", "hive_refresh_capabilities", "ssh_test"]) {
      assert.strictEqual(
        refusalOf({ operation }).message,
        `Invalid ${operation}: field 'alias': expected a hive id of 1 to 128 letters, digits, '.', '_' and '-', got nothing`
      )
    }
  })

  it("defaults to streaming, and to ~/.ssh/config with port 8081", () => {
    const infer = { operation: "infer", hive_id: "a", model: "m", prompt: "p", max_tokens: 1, temperature: 0 }
    for (const stream of [undefined, null, true]) {
      assert.deepInclude(fieldsOf({ ...infer, stream }), { stream: true })
    }
    assert.deepInclude(fieldsOf({ ...infer, stream: false }), { stream: false })
    assert.deepInclude(fieldsOf({ operation: "hive_import_ssh" }), {
      ssh_config_path: "~/.ssh/config",
      default_hive_port: 8081
    })
  })
})

describe("bad fields", () => {
  it("names the field, the expected value and the received value", () => {
    const refused = refusalOf({
      operation: "worker_spawn",
      hive_id: "a",
      model: "m",
      worker: "cpu",
      device: "x"
    })
    assert.strictEqual(
      refused.message,
      `Invalid worker_spawn: field 'device': expected an integer from 0 to 4294967295, got "x"`
    )
  })

  it("accepts a device of infer by index or name, and rejects other values", () => {
    const infer = {
      operation: "infer",
      hive_id: "a",
      model: "m",
      prompt: "p",
      max_tokens: 1,
      temperature: 0
    }
    for (const device of [0, 1, "cpu", "cuda", "gpu-1"]) {
      assert.isTrue(Result.isSuccess(decode({ ...infer, device })), String(device))
    }
    for (const device of [-1, 1.5, "", "gpu 1", true, {}]) {
      const [problem] = refusalOf({ ...infer, device }).problems
      assert.strictEqual(problem?.field, "device", String(device))
      assert.strictEqual(
        problem?.expected,
        "a device index from 0 to 4294967295, or a name such as cpu, cuda or gpu-1"
      )
    }
  })

  it("names every invalid field", () => {
    const refused = refusalOf({ operation: "worker_spawn", model: 5, worker: "cpu", device: -1 })
    assert.deepStrictEqual(
      refused.problems.map(({ field, got }) => [field, got]),
      [
        ["hive_id", "nothing"],
        ["model", "5"],
        ["device", "-1"]
      ]
    )
  })

  it("rejects numbers out of range", () => {
    const spawn = { operation: "worker_spawn", hive_id: "a", model: "m", worker: "cpu" }
    for (const device of [-1, 1.5, 4_294_967_296, "0"]) {
      assert.strictEqual(refusalOf({ ...spawn, device }).problems[0]?.field, "device")
    }
    for (const device of [0, 4_294_967_295]) {
      assert.propertyVal(Result.getOrThrow(decode({ ...spawn, device })), "device", device)
    }
    for (const absent of [{}, { device: null }]) {
      assert.notProperty(Result.getOrThrow(decode({ ...spawn, ...absent })), "device")
    }
    for (const default_hive_port of [0, 65_536, -1, "8081"]) {
      assert.strictEqual(
        refusalOf({ operation: "hive_import_ssh", default_hive_port }).problems[0]?.field,
        "default_hive_port"
      )
    }
  })

  it("rejects a body that is not a JSON object", () => {
    for (const body of [
      "",
      " ",
      "null",
      "[]",
      "3",
      `"status"`,
      "{",
      "{}",
      `{"operation":null}`,
      `{"operation":3}`
    ]) {
      assert.isTrue(Result.isFailure(Catalog.readRequest(body)), body)
    }
  })

  it("names the position of broken JSON", () => {
    const broken: ReadonlyArray<readonly [string, string]> = [
      ["", "it is empty"],
      [`{"operation":"status",}`, `unexpected "}" at position 22 (line 1, column 23)`],
      [`{"operation":\n status}`, `unexpected "s" at position 15 (line 2, column 2)`],
      [`{"operation":"status"`, "it ends too early, after 21 characters"]
    ]
    for (const [body, reason] of broken) {
      assert.strictEqual(
        Result.getOrThrow(Result.flip(Catalog.readRequest(body))).message,
        `Invalid request: field '(body)': expected a JSON object with the field 'operation', got invalid JSON: ${reason}`
      )
    }
  })

  it("rejects values nested deeper than the stack allows", () => {
    const deep = "[".repeat(100_000) + "]".repeat(100_000)
    for (const body of [deep, `{"operation":${deep}}`, `{"operation":"worker_list","hive_id":${deep}}`]) {
      assert.isTrue(Result.isFailure(Catalog.readRequest(body)))
    }
    const decode = Catalog.makeDecoder(HiveGet)
    const refused = Result.getOrThrow(Result.flip(decode({ operation: "hive_get", alias: JSON.parse(deep) })))
    assert.include(
      refused.message,
      "field 'alias': expected a hive id of 1 to 128 letters, digits, '.', '_' and '-', got a deeply nested value"
    )
  })

  it("rejects unsafe hive ids, worker ids and prompts", () => {
    for (const hive_id of ["", "../x", "a b", "-x", "a\u0000", "a".repeat(129), "a/b"]) {
      assert.isTrue(
        Result.isFailure(Catalog.readRequest(JSON.stringify({ operation: "worker_list", hive_id }))),
        hive_id
      )
    }
    const infer = { operation: "infer", hive_id: "a", model: "m", max_tokens: 1, temperature: 0 }
    assert.strictEqual(refusalOf({ ...infer, prompt: "a\u0000b" }).problems[0]?.field, "prompt")
    assert.isTrue(Result.isSuccess(decode({ ...infer, prompt: "line\nline\ttab" })))
  })

  it("ignores unknown fields", () => {
    assert.isTrue(Result.isSuccess(decode({ operation: "hive_list", colour: "red", alias: null })))
  })
})

describe("routing", () => {
  it("forwards exactly the operations of a hive", () => {
    const forwarded = Object.entries(Operation.cases)
      .filter(([, operation]) => operation.routing.runsOn === "hive")
      .map(([name]) => name)
    assert.deepStrictEqual(forwarded.sort(), [
      "complete",
      "infer",
      "model_create",
      "model_delete",
      "model_download",
      "model_get",
      "model_list",
      "worker_delete",
      "worker_get",
      "worker_list",
      "worker_logs",
      "worker_restart",
      "worker_spawn"
    ])
    assert.isTrue(shouldForwardToHive(new WorkerList({ hive_id: "a" })))
    assert.isFalse(shouldForwardToHive(new Status()))
  })

  it("returns the hive id of forwarded operations, and undefined for the queen's operations", () => {
    assert.strictEqual(hiveId(new WorkerList({ hive_id: "atlas" })), "atlas")
    for (const operation of [
      new Status(),
      new HiveList(),
      new SshTest({ alias: "a" }),
      new HiveImportSsh({})
    ]) {
      assert.isUndefined(hiveId(operation))
    }
  })
})

describe("JSON Schema", () => {
  it.effect("has one for every operation", () =>
    Effect.sync(() => {
      const schemas = Catalog.jsonSchemas(Catalog.builtIn)
      assert.strictEqual(Object.keys(schemas).length, 26)
      assert.deepInclude(JSON.stringify(schemas["infer"]), "max_tokens")
    })
  )
})
