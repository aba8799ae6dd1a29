import { assert, describe, it } from "@effect/vitest"
import { Template } from "@huggingface/jinja"
import { boundedRender } from "../../src/worker/boundedRender.ts"

const render = (source: string) => boundedRender(() => new Template(source).render({ messages: [] }))

describe("the rendering of a template", () => {
  it("is interrupted if it does not end", () => {
    const endless = [
      "{% for i in range(1000000000) %}x{% endfor %}",
      "{% for a in range(3000) %}{% for b in range(3000) %}{% for c in range(3000) %}{% endfor %}{% endfor %}{% endfor %}"
    ]
    for (const source of endless) assert.throws(() => render(source), "longer than 2 s")
    assert.strictEqual(render("{{ messages | length }}"), "0")
  })

  it("is rejected if its output is too long, and keeps the template's errors", () => {
    const doubles =
      "{% set ns = namespace(x='ab') %}{% for i in range(24) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"
    assert.throws(() => render(doubles), "more than 4000000 characters")
    assert.throws(() => render("{{ raise_exception('roles must alternate') }}"), "roles must alternate")
  })
})
