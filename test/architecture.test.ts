import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"

const source = new URL("../src", import.meta.url).pathname
const tests = new URL(".", import.meta.url).pathname

/** What each top folder of `src` may import besides itself. */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  operation: [],
  settings: ["operation"],
  system: ["settings"],
  access: ["settings", "system"],
  hives: ["settings", "system"],
  http: ["operation", "settings"],
  store: ["settings", "system"],
  job: ["operation", "settings", "http", "store"],
  daemon: ["operation", "settings", "system", "access", "hives", "http", "job"],
  gateway: ["operation", "settings", "system", "access", "http", "job", "daemon"],
  queen: ["operation", "settings", "system", "access", "hives", "http", "job", "daemon", "gateway"],
  hive: ["operation", "settings", "system", "access", "hives", "http", "job", "daemon", "gateway"],
  cli: ["operation", "settings", "system", "access", "hives", "http", "job", "daemon", "queen", "hive"],
  ai: ["operation", "settings", "job", "gateway", "queen"],
  worker: [],
  testing: ["operation", "settings", "access", "http", "job", "daemon", "queen"]
}

/** The folders inside of a top folder, each of which may import those before it; "." is the folder itself. */
const inside: Readonly<Record<string, ReadonlyArray<string>>> = {
  job: ["log", ".", "durable", "view", "client"],
  gateway: ["upstream", "keys", "endpoint", "openai", "anthropic", "ollama", "."],
  queen: ["forward", "registry", "scheduler", "fleet", "ssh", "lifecycle", "."],
  hive: ["devices", "gguf", "models", "download", "engines", "workers", "inference", ".", "mock"],
  worker: [".", "mock"],
  cli: [".", "config", "engine", "jobs", "key", "mock", "model", "queen", "worker", "hive"]
}

/** Folders that may also import one folder of a top folder that is otherwise closed to them. */
const mayAlsoImport: Readonly<Record<string, string>> = {
  "hive/mock": "worker/mock",
  "cli/mock": "worker/mock"
}

/** Folders of one top folder that do not import one another, whatever the order above allows. */
const siblings: ReadonlyArray<ReadonlyArray<string>> = [
  ["gateway/openai", "gateway/anthropic", "gateway/ollama"],
  ["queen/ssh", "queen/fleet"],
  ["hive/download", "hive/engines"],
  [
    "cli/config",
    "cli/engine",
    "cli/jobs",
    "cli/key",
    "cli/mock",
    "cli/model",
    "cli/queen",
    "cli/worker",
    "cli/hive"
  ]
]

/** Folders of `test` that are no mirror of `src`. */
const otherTests = new Set(["integration", "e2e", "matrix", "performance", "simulation", "fuzz", "support"])

/** Files that only bundle others: the entry modules of the package and the program that joins all commands. */
const isEntry = (file: string) => file.endsWith("/index.ts") || dirname(relative(source, file)) === "."

const topOf = (file: string) => relative(source, file).split("/")[0] ?? ""
const folderOf = (file: string) => relative(join(source, topOf(file)), dirname(file)).split("/")[0] || "."
const pathOf = (file: string) => `${topOf(file)}/${folderOf(file)}`

const importsOf = (file: string) =>
  [...readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, path = ""]) =>
    resolve(file, "..", path)
  )

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(source, name))

const imports = files
  .filter((file) => !isEntry(file))
  .flatMap((file) => importsOf(file).map((imported) => [file, imported] as const))

const arrow = ([file, imported]: readonly [string, string]) =>
  `${relative(source, file)} imports ${relative(source, imported)}`

const maxFile = 300
const maxMake = 80
const maxFunction = 60

const hasBody = (node: ts.Node): node is ts.FunctionLikeDeclaration & { readonly body: ts.Node } =>
  ts.isFunctionLike(node) && "body" in node && node.body !== undefined

const isNamed = (node: ts.Node) =>
  ts.isVariableDeclaration(node) ||
  ts.isPropertyAssignment(node) ||
  ts.isPropertyDeclaration(node) ||
  ts.isFunctionDeclaration(node) ||
  ts.isFunctionExpression(node) ||
  ts.isMethodDeclaration(node)

/** The name of a function, or that of the declaration that it is part of. */
const nameOf = (node: ts.Node, file: ts.SourceFile): string => {
  for (let at = node; !ts.isSourceFile(at); at = at.parent) {
    if (isNamed(at) && at.name !== undefined) return at.name.getText(file)
  }
  return "?"
}

const tooLong = files.flatMap((path) => {
  const name = relative(source, path)
  const text = readFileSync(path, "utf8")
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true)
  const lineOf = (position: number) => file.getLineAndCharacterOfPosition(position).line
  const found: Array<readonly [string, number]> = []
  const note = (key: string, length: number, limit: number) => {
    if (length > limit) found.push([key, length])
  }
  const visit = (node: ts.Node) => {
    if (hasBody(node)) {
      const called = nameOf(node, file)
      const length = lineOf(node.end) - lineOf(node.getStart(file)) + 1
      note(`${name} ${called}`, length, called.startsWith("make") ? maxMake : maxFunction)
    }
    ts.forEachChild(node, visit)
  }
  note(name, text.split("\n").length - 1, maxFile)
  visit(file)
  return found
})

describe("architecture", () => {
  it("the tables name every folder", () => {
    for (const file of files.filter((file) => !isEntry(file))) {
      assert.property(mayImport, topOf(file), relative(source, file))
      assert.include(inside[topOf(file)] ?? ["."], folderOf(file), relative(source, file))
    }
  })

  it("imports between top folders run one way", () => {
    const wrong = imports.filter(
      ([file, imported]) =>
        topOf(imported) !== topOf(file) &&
        mayImport[topOf(file)]?.includes(topOf(imported)) !== true &&
        mayAlsoImport[pathOf(file)] !== pathOf(imported)
    )
    assert.deepStrictEqual(wrong.map(arrow), [])
  })

  it("imports inside of a top folder run one way", () => {
    const wrong = imports.filter(([file, imported]) => {
      const order = inside[topOf(file)]
      if (order === undefined || topOf(imported) !== topOf(file)) return false
      return order.indexOf(folderOf(imported)) > order.indexOf(folderOf(file))
    })
    assert.deepStrictEqual(wrong.map(arrow), [])
  })

  it("siblings do not import one another", () => {
    const wrong = imports.filter(
      ([file, imported]) =>
        pathOf(file) !== pathOf(imported) &&
        siblings.some((group) => group.includes(pathOf(file)) && group.includes(pathOf(imported)))
    )
    assert.deepStrictEqual(wrong.map(arrow), [])
  })

  it("no imports form a circle, types included", () => {
    const visited = new Set<string>()
    const circles: Array<string> = []
    const visit = (file: string, way: ReadonlyArray<string>) => {
      if (way.includes(file)) {
        circles.push([...way.slice(way.indexOf(file)), file].map((one) => relative(source, one)).join(" > "))
        return
      }
      if (visited.has(file)) return
      visited.add(file)
      for (const imported of importsOf(file)) visit(imported, [...way, file])
    }
    for (const file of files) visit(file, [])
    assert.deepStrictEqual(circles, [])
  })

  it("nothing imports an entry module, and only those export again", () => {
    for (const file of files) {
      assert.notMatch(importsOf(file).join("\n"), /\/index\.ts$/m, relative(source, file))
      if (!file.endsWith("/index.ts")) assert.notInclude(readFileSync(file, "utf8"), "export * from", file)
    }
  })

  it("imports of effect are by module, not by barrel", () => {
    for (const file of files) {
      assert.notMatch(
        readFileSync(file, "utf8"),
        /from "(effect|effect\/http|effect\/cli|@effect\/platform-node)"/,
        file
      )
    }
  })

  it("unit tests lie in folders of the same name as what they test", () => {
    const folders = readdirSync(tests, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !otherTests.has(name.split("/")[0] ?? ""))
      .map((name) => dirname(name))
    assert.deepStrictEqual(
      folders.filter((folder) => !existsSync(join(source, folder))),
      []
    )
  })

  it("only tests have names of tests, and folders of tests have nothing else but their data", () => {
    const wrong = readdirSync(tests, { recursive: true, encoding: "utf8" }).filter((name) => {
      const isTest = name.endsWith(".test.ts")
      if (!name.endsWith(".ts") || name.startsWith("simulation/")) return false
      return name.startsWith("support/") === isTest
    })
    assert.deepStrictEqual(wrong, [])
  })

  it("no file, make or function of src is longer than its limit", () => {
    assert.deepStrictEqual(tooLong, [])
  })
})
