import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { openConnection } from "../../../agent/feed/connection.ts";
import { Latch } from "../../../lib/latch.ts";
import { makeKeyAndCsr, parseCsrPem } from "../../../registry/ca/csr.ts";
import { makePki, serverCertificate } from "../../../registry/ca/files.ts";
import { openPki } from "../ca/open.ts";

describe("whom an agent takes for control", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-identity-"));
    await makePki(folder, Date.now());
    const ca = openPki(folder);
    const { key, csr } = await makeKeyAndCsr(null);
    const issued = await ca.issueAgent(parseCsrPem(csr), "host1", Date.now());
    writeFileSync(join(folder, "agent.key"), key);
    writeFileSync(join(folder, "agent.crt"), issued.pem + ca.chain);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Why the agent's connection to a server ended, and how many requests that server read. */
  async function met(role: "register" | "control"): Promise<{ why: string; requests: number }> {
    const { key, certificate } = await serverCertificate(folder, role, ["127.0.0.1"], openPki(folder), Date.now());
    let requests = 0;
    const server = createServer({ key, cert: certificate }, (_request, response) => {
      requests++;
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [ca, cert, own] = ["root.crt", "agent.crt", "agent.key"].map((name) => join(folder, name));
    const identity = { addresses: [], ca: ca ?? "", certificate: cert ?? "", key: own ?? "" };
    const events = { onOpen() {}, onMessage() {}, onUnknown() {} };
    const connection = openConnection(`https://127.0.0.1:${port}`, identity, new Latch(), events, new AbortController().signal);
    const why = await connection.ended.catch((error: Error) => error.message);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    return { why, requests };
  }

  it("is whoever has control's own certificate", async () => {
    expect(await met("control")).to.deep.equal({ why: "Unexpected server response: 404", requests: 1 });
  });

  it("is not register, whose certificate may be for the same name: nothing is asked of it", async () => {
    expect(await met("register")).to.deep.equal({ why: "the server '127.0.0.1' is not the registry's control", requests: 0 });
  });
});
