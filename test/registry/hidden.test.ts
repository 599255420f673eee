import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { migrate, refusalOf } from "../../registry/commands.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { serve } from "../../registry/serve.ts";

const NOBODY = 65_534;

describe("a registry that another user keeps", () => {
  const folder = mkdtempSync(join(tmpdir(), "eos-hidden-"));
  const state = join(folder, "state");
  before(() => {
    mkdirSync(join(state, "pki"), { recursive: true, mode: 0o700 });
    writeFileSync(join(state, "pki/root.crt"), "");
    writeFileSync(join(state, "registry.sqlite"), "");
  });
  after(() => rmSync(folder, { recursive: true }));

  const config = parseRegistryConfig(
    "test",
    JSON.stringify({
      name: "register.example",
      stateDir: state,
      register: { names: ["register.example"] },
      control: { names: ["control.example"] },
    }),
  );
  /** What is thrown before anything is waited for, as who may not look. */
  const asNobody = async (act: () => Promise<unknown>): Promise<unknown> => {
    process.seteuid?.(NOBODY);
    const thrown = act().then(
      () => null,
      (error: unknown) => error,
    );
    process.seteuid?.(0);
    return thrown;
  };

  for (const [name, act, file] of [
    ["serve", () => serve(config, systemClock, silentLog), "pki"],
    ["migrate", () => migrate(config, systemClock, silentLog), "registry.sqlite"],
  ] as const) {
    it(`is not told to be absent by ${name}`, async () => {
      expect(refusalOf(await asNobody(act))).to.deep.equal({
        text: `Not permitted: EACCES: permission denied, stat '${state}/${file}'`,
        exit: 77,
      });
    });
  }
});
