import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { get } from "./client.ts";
import { makeTerminatorScene } from "./scene.ts";

/** CAs in the chain, each with a signature that takes its time: an RSA key whose public exponent is as long as it may be. */
const LENGTH = 20;
const EXPONENT = (1n << 3_069n) | 0x1234_5678_9abc_def1n;
const HANDSHAKES = 4;

/** A leaf with its key, and the chain of CAs that nobody knows behind it. */
function strangersChain(folder: string): { readonly leaf: string; readonly chain: string; readonly key: string } {
  const openssl = (...args: string[]) => void execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const newKey = (file: string, ...options: string[]) =>
    openssl("genpkey", "-algorithm", "RSA", "-out", file, ...options.flatMap((option) => ["-pkeyopt", option]));
  newKey("ca.key", "rsa_keygen_bits:3072", `rsa_keygen_pubexp:${EXPONENT}`);
  openssl("rsa", "-in", "ca.key", "-pubout", "-out", "ca.pub");
  openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", `/CN=c${LENGTH}`, "-days", "1", "-out", `c${LENGTH}`);
  writeFileSync(join(folder, "ca.ext"), "basicConstraints=critical,CA:TRUE\n");
  for (let at = LENGTH - 1; at > 0; at--) {
    const issuer = ["-CA", `c${at + 1}`, "-CAkey", "ca.key", "-set_serial", String(at), "-days", "1"];
    openssl("x509", "-new", "-force_pubkey", "ca.pub", "-subj", `/CN=c${at}`, ...issuer, "-extfile", "ca.ext", "-out", `c${at}`);
  }
  openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "leaf.key");
  openssl("pkey", "-in", "leaf.key", "-pubout", "-out", "leaf.pub");
  openssl(
    "x509",
    "-new",
    "-force_pubkey",
    "leaf.pub",
    "-subj",
    "/CN=leaf",
    "-CA",
    "c1",
    "-CAkey",
    "ca.key",
    "-set_serial",
    "99",
    "-days",
    "1",
    "-out",
    "leaf",
  );
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  return { leaf: read("leaf"), chain: Array.from({ length: LENGTH }, (_, at) => read(`c${at + 1}`)).join(""), key: read("leaf.key") };
}

describe("a long chain of costly CAs that nobody knows", function () {
  this.timeout(240_000);

  it("costs HAProxy hardly more than its leaf alone, in the lanes that ask for certificates", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-chain-"));
    const { leaf, chain, key } = strangersChain(folder);
    rmSync(folder, { recursive: true });
    await using scene = await makeTerminatorScene();
    const cost = async (port: number, cert: string) => {
      const [worker = 0] = await scene.workers();
      const before = ticks(worker);
      for (let turn = 0; turn < HANDSHAKES; turn++) {
        const answer = await get(port, { ca: scene.pki.root, certificate: { cert, key } });
        expect(answer).to.deep.equal({ status: null, body: "" });
      }
      return ticks(worker) - before;
    };
    for (const port of [scene.ports.ipcert, scene.ports.roaming]) {
      const [alone, whole] = [await cost(port, leaf), await cost(port, leaf + chain)];
      // Hundredths of a second. Checked through, each handshake takes 10 to 20 of them.
      expect(whole, `${alone} with the leaf alone`).to.be.below(4 * HANDSHAKES);
    }
  });
});

/** Processor time of a process, in ticks (proc_pid_stat(5), utime and stime). */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
