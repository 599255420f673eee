import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { goBack } from "../../../agent/terminator/failed-try.ts";
import { useGeneration, writeGeneration } from "../../../agent/terminator/generation.ts";
import { currentLink } from "../../../agent/terminator/layout.ts";

describe("an earlier generation that HAProxy is to start with again", () => {
  let stateDir = "";
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), "eos-generation-"));
  });
  afterEach(() => {
    rmSync(stateDir, { recursive: true });
  });
  const generation = (key: string) => {
    const maps = { certificates: [{ key, value: "earlier" }], bindings: [{ key, value: "earlier" }] };
    return writeGeneration(stateDir, "haproxy", { config: () => "", authorities: "", revocations: null, maps });
  };
  const now = { certificates: () => [{ key: "A", value: "now" }], bindings: () => [] };

  it("says what counts by now", () => {
    const [earlier, later] = [generation("A"), generation("B")];
    useGeneration(stateDir, later);
    goBack(stateDir, earlier, now);
    const said = [earlier.certificates, earlier.bindings].map((file) => readFileSync(file, "utf8"));
    expect([readlinkSync(currentLink(stateDir)), ...said]).to.deep.equal(["generation-1", "A now\n", ""]);
  });

  it("is not gone back to where that cannot be written", () => {
    const [earlier, later] = [generation("A"), generation("B")];
    useGeneration(stateDir, later);
    rmSync(earlier.bindings);
    mkdirSync(earlier.bindings);
    goBack(stateDir, earlier, now);
    expect(readlinkSync(currentLink(stateDir))).to.equal("generation-2");
  });
});
