import * as v8 from "node:v8"
import * as vm from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { TransientMap } from "../../src/http/TransientMap.ts"

v8.setFlagsFromString("--expose-gc")
const collectYoung = vm.runInNewContext("() => gc({ type: 'minor' })")
const collectAll = vm.runInNewContext("gc")

const large = () => Array.from({ length: 500 }, (_, index) => ({ index }))

interface Growing {
  readonly set: (key: number, value: object) => void
  readonly delete: (key: number) => boolean
}

/** By how many bytes the heap has grown when 300 values have come and gone, two at a time. */
const growth = (make: () => Growing) => {
  const map = make()
  let key = 0
  const comeAndGo = (count: number) => {
    for (const until = key + count; key < until; key++) {
      map.set(key, large())
      map.delete(key - 1)
    }
  }
  collectAll()
  comeAndGo(10)
  // Twice survived is old.
  for (let count = 0; count < 3; count++) collectYoung()
  const profiler = new v8.GCProfiler()
  profiler.start()
  const before = process.memoryUsage().heapUsed
  for (let count = 0; count < 6; count++) {
    comeAndGo(50)
    collectYoung()
  }
  const grown = process.memoryUsage().heapUsed - before
  const isWhole = profiler.stop()?.statistics.every(({ gcType }) => gcType === "Scavenge")
  return isWhole === true ? grown : undefined
}

/** The same, of a time with no full collection in it: V8 makes one when it likes. */
const growthOf = (make: () => Growing) => {
  for (let count = 0; count < 20; count++) {
    const grown = growth(make)
    if (grown !== undefined) return grown
  }
  throw new Error("there was a full collection each time")
}

describe("InFlight", () => {
  it("is a map in the order of arrival", () => {
    const map = new TransientMap<string, number>()
    map.set("b", 1)
    map.set("a", 2)
    map.set("b", 3)
    expect([map.size, map.get("b"), map.has("a"), map.has("c"), map.get("c")]).toEqual([
      2,
      3,
      true,
      false,
      undefined
    ])
    expect([[...map.keys()], [...map.values()]]).toEqual([
      ["b", "a"],
      [3, 2]
    ])
    expect([map.delete("b"), map.delete("b"), map.size, map.get("b")]).toEqual([true, false, 1, undefined])
  })

  it("does not give what was deleted while it is gone through", () => {
    const map = new TransientMap<number, string>()
    for (const key of [1, 2, 3]) map.set(key, `value ${key}`)
    const seen: Array<string> = []
    for (const value of map.values()) {
      seen.push(value)
      map.delete(2)
    }
    expect(seen).toEqual(["value 1", "value 3"])
  })

  // The second line is why the class is there: when it no longer holds, the class may go.
  it("keeps nothing of what is gone for the next full collection, as a map does", () => {
    expect(growthOf(() => new TransientMap<number, object>())).toBeLessThan(300_000)
    expect(growthOf(() => new Map<number, object>())).toBeGreaterThan(1_000_000)
  })
})
