import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { waitFor } from "../lab/wait.ts";
import { reaches } from "./install.ts";
import type { Machine } from "./machine.ts";
import { certificateOf, type Stand } from "./stand.ts";

const LONG = { timeoutMs: 30_000, everyMs: 100 };
/** Longer than anything here waits: what is not ended goes on until then. */
const UPLOAD_SECONDS = 120;

/** Requests under way on every gate, one by one, when their certificate is revoked and no agent is there to hear of it. */
export function underWayScenes(of: () => Stand): void {
  it("end what a revoked certificate has under way, though their agent was away and finds the terminator with files of before", async () => {
    const { registry, gates, operator, folder } = of();
    const words = certificateOf(of(), operator);
    const pidOf = (gate: Machine) => `${folder}/${gate.name}.upload`;
    const uploads = gates.map(async (gate) => {
      // Of a length that is told, and comes a little at a time.
      const body = "-X POST -T - -H Content-Length:100000 -H Transfer-Encoding: -H Expect:";
      const curl = `curl --silent --http1.1 --cacert ${folder}/ca.pem ${words.join(" ")} ${body} https://${gate.v4}/`;
      const script = `while echo x; do sleep 0.2; done | sh -c 'echo $$ >${pidOf(gate)}; exec timeout ${UPLOAD_SECONDS} ${curl}'`;
      // Cut, it hears of nothing: the test ends it.
      await operator.run(["sh", "-c", script], "", (UPLOAD_SECONDS + 10) * 1_000).catch(() => "");
    });
    const open = (gate: Machine) => gate.sh(`ss -Htn state established 'src ${gate.v4} and dst ${operator.v4} and not sport = :22'`);
    try {
      for (const gate of gates)
        await waitFor(`a request under way on ${gate.name}`, async () => (await open(gate)) !== "" || undefined, LONG);
      for (const gate of gates) await gate.sh("systemctl stop entityos-agent");
      const certificate = new X509Certificate(readFileSync(words[1] ?? ""));
      const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
      await registry.sh(`entityos cert revoke ${fingerprint}`);
      for (const gate of gates) expect(await open(gate), gate.name).to.not.equal("");
      for (const gate of gates) {
        await gate.sh("systemctl start entityos-agent");
        await reaches(gate, "enforcing");
        await waitFor(`${gate.name} to have ended it`, async () => (await open(gate)) === "" || undefined, LONG);
      }
    } finally {
      for (const gate of gates) await operator.run(["sh", "-c", `kill $(cat ${pidOf(gate)}) || true`]);
      await Promise.all(uploads);
    }
  });
}
