import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { WORK } from "./network.ts";

const NETWORK = fileURLToPath(new URL("network.ts", import.meta.url));
const RUN = `import { startNetwork } from ${JSON.stringify(NETWORK)};
const { prefix } = await startNetwork(1);
console.log(prefix);
setInterval(() => {}, 1_000);`;

describe("a run on hosts that is killed", () => {
  it("leaves no namespace and no folder, without another run that would take them away", async () => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", RUN], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let prefix = "";
    for await (const line of createInterface({ input: child.stdout })) {
      prefix = line;
      break;
    }
    expect(prefix).to.match(/^eosv[0-9a-f]{5}$/);
    const folder = join(WORK, prefix);
    mkdirSync(folder);
    const namespaces = () => readdirSync("/run/netns").filter((name) => name.startsWith(prefix));
    expect(namespaces()).to.have.members([`${prefix}-net`, `${prefix}-d0`]);
    child.kill("SIGKILL");
    const gone = () => (namespaces().length === 0 && !existsSync(folder)) || undefined;
    await waitFor("everything of it to be gone", gone, { timeoutMs: 60_000 });
  }).timeout(120_000);
});
