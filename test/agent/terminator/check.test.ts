import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkConfiguration } from "../../../agent/terminator/check.ts";
import { layoutOf } from "../../../agent/terminator/layout.ts";

describe("a configuration that its program refuses", () => {
  for (const [kind, text, said] of [
    ["haproxy", "frontend x\n  bind :x\n", /^HAProxy refuses its configuration: \[ALERT\].*'bind' : invalid character 'x' in port number/],
    ["nginx", "events {}\nhttp { server { listen x:y; } }\n", /^nginx refuses its configuration: .*\[emerg\].*invalid port in "x:y"/],
  ] as const)
    it(`is told with the reason: ${kind}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "eos-check-"));
      const layout = layoutOf(folder, kind);
      writeFileSync(layout.config, text);
      const { signal } = new AbortController();
      const failure = await checkConfiguration(kind, layout, signal).then(
        () => null,
        ({ message }: Error) => message,
      );
      rmSync(folder, { recursive: true });
      expect(failure).to.match(said);
    });
});
