// The public API as text: what each entry of the package exports, as the compiler declares it. `npm run api` writes the
// report after a build; a test compares it with the one that is kept.
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as ts from "typescript"

const root = new URL("../..", import.meta.url).pathname

export const reportFile = join(root, "test", "e2e", "api.report.txt")

/** The entries of package.json with the files that declare them. */
const entries = () => {
  const { exports }: { exports: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8")
  )
  return Object.entries(exports)
    .filter(([, file]) => file.endsWith(".js"))
    .map(([name, file]) => ({
      name: `rbee${name.slice(1)}`,
      file: join(root, file.replace(/\.js$/, ".d.ts"))
    }))
}

const printer = ts.createPrinter({ removeComments: true, omitTrailingSemicolon: true })

/** The variable that the compiler declares for what a class extends: it has the fields of schemas and services. */
const baseOf = (declaration: ts.Declaration): ReadonlyArray<ts.Node> =>
  ts.isClassDeclaration(declaration)
    ? declaration
        .getSourceFile()
        .statements.filter(
          (statement) =>
            ts.isVariableStatement(statement) &&
            statement.declarationList.declarations[0]?.name.getText() === `${declaration.name?.text}_base`
        )
    : []

const declarationsOf = (checker: ts.TypeChecker, symbol: ts.Symbol): ReadonlyArray<string> => {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  return (target.declarations ?? []).flatMap((declaration) => {
    if (ts.isSourceFile(declaration)) {
      return checker.getExportsOfModule(target).flatMap((member) => declarationsOf(checker, member))
    }
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
    return [...baseOf(declaration), node].map((one) =>
      printer.printNode(ts.EmitHint.Unspecified, one, one.getSourceFile())
    )
  })
}

/** What the built package declares, entry by entry and name by name. */
export const apiReport = () => {
  const files = entries()
  const missing = files.find(({ file }) => !existsSync(file))
  if (missing !== undefined) throw new Error(`${missing.file} is missing; run npm run build first`)
  const program = ts.createProgram(
    files.map(({ file }) => file),
    { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2024, skipLibCheck: true, strict: true }
  )
  const checker = program.getTypeChecker()
  const sections = files.map(({ file, name }) => {
    const source = program.getSourceFile(file)
    const module = source && checker.getSymbolAtLocation(source)
    const symbols = module === undefined ? [] : checker.getExportsOfModule(module)
    const texts = symbols
      .toSorted((left, right) => (left.name < right.name ? -1 : 1))
      .map((symbol) => `## ${symbol.name}\n${declarationsOf(checker, symbol).join("\n")}\n`)
    return `# ${name}\n\n${texts.join("\n")}`
  })
  return `${sections.join("\n")}`
}

if (process.argv[1] === import.meta.filename) writeFileSync(reportFile, apiReport())
