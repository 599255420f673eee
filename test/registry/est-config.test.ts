import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { systemClock } from "../../lib/clock.ts";
import { ConfigError } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { check } from "../../registry/commands.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { initialise } from "../../registry/init.ts";
import { serve } from "../../registry/serve.ts";
import { freePort } from "../lab/ports.ts";

describe("a registry with EST", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-est-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const configured = (register: object, control: object) =>
    parseRegistryConfig(
      "test",
      JSON.stringify({ name: "register.example", stateDir: join(folder, "state"), runtimeDir: join(folder, "run"), register, control }),
    );

  it("serves it on its own port, with one certificate for all names of the register role", async () => {
    const [port, estPort, controlPort] = [await freePort(), await freePort(), await freePort()];
    const est = { port: estPort, names: ["est.register.example", "register.example"] };
    const config = configured({ address: "127.0.0.1", port, names: ["localhost", "register.example"], est }, { port: controlPort });
    await initialise(config, systemClock, silentLog);
    await using serving = await serve(config, systemClock, silentLog);
    expect([serving.registerPort, serving.estPort]).to.deep.equal([port, estPort]);
    const ca = readFileSync(join(folder, "state/pki/root.crt"));
    const answered = await new Promise<string>((resolve, reject) => {
      const path = "/.well-known/est/cacerts";
      get({ host: "127.0.0.1", servername: "est.register.example", port: estPort, path, ca, agent: false }, (answer) => {
        answer.resume();
        resolve(`${answer.statusCode} ${answer.headers["content-type"]}`);
      }).on("error", reject);
    });
    expect(answered).to.equal("200 application/pkcs7-mime; smime-type=certs-only");
    expect(new X509Certificate(readFileSync(join(folder, "state/pki/register.crt"))).subjectAltName).to.equal(
      "DNS:localhost, DNS:register.example, DNS:est.register.example",
    );
  });

  it("is checked: its port is nobody else's, its names are names", async () => {
    const at = { address: "127.0.0.1", port: 4443 };
    const problems = async (est: object, control: object): Promise<readonly string[]> => {
      const config = configured({ ...at, est }, control);
      await initialise(configured(at, control), systemClock, silentLog);
      return check(config, "registry.yaml").then(
        () => [],
        (error: unknown) => (error instanceof ConfigError ? error.problems : [String(error)]),
      );
    };
    expect(await problems({ port: 4443, names: ["a b"] }, {})).to.deep.equal([
      "register.est.names.0: 'a b' is neither a host name nor an address",
      "register.est.port: register and EST cannot both listen on 127.0.0.1 port 4443",
    ]);
    expect(await problems({ port: 4444 }, { address: "127.0.0.1", port: 4444 })).to.deep.equal([
      "register.est.port: control and EST cannot both listen on 127.0.0.1 port 4444",
    ]);
    expect(await problems({}, {})).to.deep.equal([]);
  });
});
