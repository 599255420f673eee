import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { desiredOf, sha256Of } from "../../../infra/metal/desired.ts";
import { HostError } from "../../../infra/metal/errors.ts";
import { claimedBy, lockedBy } from "../../../infra/metal/lock.ts";
import { parseObserved } from "../../../infra/metal/observed.ts";
import type { Remote } from "../../../infra/metal/ssh.ts";
import { begin, configure, installPackages, record } from "../../../infra/metal/steps.ts";
import { waitFor } from "../../lab/wait.ts";
import { folder, settings, sound } from "./hosts.ts";
import { SshHost } from "./ssh-host.ts";

const said = (doing: Promise<unknown>): Promise<string> =>
  doing.then(
    () => "done",
    (error: unknown) => (error instanceof HostError ? error.message : String(error)),
  );

describe("what is sent to a host", () => {
  let host: SshHost;
  beforeEach(() => {
    host = new SshHost();
  });
  afterEach(() => host[Symbol.dispose]());
  const [web] = settings().agents;
  if (web === undefined) throw new Error("unreachable");
  const desired = desiredOf(web, folder, "amd64");

  it("comes to the script whole, or the script does not begin: a file that was cut short is never put in place", async () => {
    const remote = host.link();
    const file = join(host.folder, "agent.yaml");
    const change = (text: string) => configure(remote, web, { ...desired, files: { [file]: text } }, false);
    await change("first: 1\n");
    host.cutAfter(5);
    expect(await said(change("second: 2\n"))).to.equal(
      "web-1: configuration: not_whole: standard input is not what was sent: nothing is changed, deploy again",
    );
    expect(host.read("agent.yaml")).to.equal("first: 1\n");
    expect(await said(record(remote, "web-1", desired, "7"))).to.include("web-1: record: not_whole");
    host.cutAfter(null);
    await change("second: 2\n");
    expect(host.read("agent.yaml")).to.equal("second: 2\n");
    expect(host.read("agent.yaml.new")).to.equal(null);
  });

  it("goes by the key that the settings name, with whatever is in their folder's name, and by the SSH agent's alone where they name none", async () => {
    expect(await host.link({ key: "id" }, '/home/ada/my "50%" hosts').sh("connect", "echo hello")).to.equal("hello\n");
    expect(host.words).to.include('IdentityFile="/home/ada/my \\"50%%\\" hosts/id"').and.include("IdentitiesOnly=yes");
    await host.link().sh("connect", "true");
    expect(host.words.filter((word) => word.startsWith("Identit"))).to.deep.equal(["IdentityFile=none"]);
  });

  it("needs ssh and tar here, and says so by a code", async () => {
    const remote = host.link();
    process.env.PATH = "/nonexistent";
    expect(await said(remote.sh("connect", "true"))).to.equal(
      "web-1: connect: no_program: ssh cannot be started here (ENOENT): install it",
    );
  });

  it("tells where the host is asked, whatever the settings say of a port", async () => {
    const told = await host.link({ port: 22 }).sh("connect", 'set -- $1; echo "architecture amd64"; echo "asked $1 $4"');
    expect(parseObserved(told).asked).to.deep.equal({ from: "203.0.113.5", port: 2222 });
  });

  describe("as packages", () => {
    const packages = mkdtempSync(join(tmpdir(), "eos-packages-"));
    after(() => rmSync(packages, { recursive: true }));
    const file = "entityos-cli_1.0_all.deb";
    const one = desired.packages.find(({ name }) => name === "entityos-cli") ?? desired.packages[0];
    if (one === undefined) throw new Error("unreachable");
    const wanted = { ...desired, packages: [{ ...one, file, sha256: sha256Of("these bytes") }] };
    const none = parseObserved("architecture amd64\n");
    const install = (bytes: string, what = wanted) => {
      writeFileSync(join(packages, file), bytes);
      return installPackages(host.link(), packages, what, none);
    };
    const asked = () => (host.read("apt") ?? "").split("\n").filter((line) => line !== "");
    const apt = (would: string) =>
      host.program(
        "apt-get",
        `for word; do case $word in --simulate) simulate=1 ;; update) echo update >>${host.folder}/apt; mkdir -p /var/lib/apt/lists; : >/var/lib/apt/lists/x_Packages; exit ;; esac; done
[ -z "$simulate" ] || { echo "${would}"; exit; }
while [ "$1" != install ]; do shift; done; echo "$*" >>${host.folder}/apt`,
      );

    it("is installed only with the bytes that the plan told", async () => {
      apt("Inst entityos-cli (1.0)");
      expect(await said(install("other bytes"))).to.include(
        "web-1: packages: not_whole: entityos-cli_1.0_all.deb: FAILED\nsha256sum: WARNING: 1 computed checksum did NOT match\na package is not what was sent",
      );
      expect(asked()).to.deep.equal([]);
      await install("these bytes");
      expect(asked()).to.deep.equal(["install ./entityos-cli_1.0_all.deb"]);
      expect(host.read("var/cache/entityos-metal")).to.equal(null);
    });

    it("has apt's lists renewed where Debian's own are needed and the lists are missing or old, and else not", async () => {
      const nginx = { ...wanted, system: ["nginx"] };
      apt("Inst nginx (1)");
      await install("these bytes", nginx);
      expect(asked()).to.deep.equal(["update", "install ./entityos-cli_1.0_all.deb nginx"]);
      await install("these bytes", nginx);
      expect(asked().filter((line) => line === "update")).to.have.length(1);
      await host.link().sh("packages", "touch -d '2 days ago' /var/lib/apt/lists");
      await install("these bytes");
      expect(asked().filter((line) => line === "update")).to.have.length(2);
      await host.link().sh("packages", "touch -d '2 days ago' /var/lib/apt/lists");
      apt("Inst entityos-cli (1)");
      await install("these bytes", nginx);
      expect(asked().filter((line) => line === "update")).to.have.length(2);
      // As an image is made: the folder is of now, and nothing is in it.
      await host.link().sh("packages", "rm /var/lib/apt/lists/*");
      apt("Inst nginx (1)");
      await install("these bytes", nginx);
      expect(asked().filter((line) => line === "update")).to.have.length(3);
    });

    it("needs none of ours for what Debian alone is to give", async () => {
      apt("Inst nginx (1)");
      await install("these bytes", { ...wanted, packages: [], system: ["nginx"] });
      expect(asked()).to.deep.equal(["update", "install nginx"]);
    });
  });

  describe("by two at one time", () => {
    const ada = "ada at laptop since 2026-11-24T08:00:00.000Z (process 7)";
    const bob = "bob at desk since 2026-11-24T09:00:00.000Z (process 8)";
    /** Until the script has begun; it ends when it is let. */
    const hold = async (remote: Remote): Promise<{ readonly let: () => void; readonly ended: Promise<string> }> => {
      const [began, go] = [join(host.folder, "began"), join(host.folder, "go")];
      const ended = said(remote.sh("packages", `touch ${began}; until [ -e ${go} ]; do sleep 0.02; done`));
      await waitFor("the step to begin", () => host.read("began") ?? undefined);
      return { let: () => writeFileSync(go, ""), ended };
    };

    it("is refused while a step runs there, with the name of who is at it", async () => {
      const held = await hold(lockedBy(host.link(), ada));
      expect(await said(begin(lockedBy(host.link(), bob), bob))).to.equal(
        `web-1: record: locked: on this host works ${ada}, step packages: wait until it ends`,
      );
      held.let();
      expect(await held.ended).to.equal("done");
      expect(await said(begin(lockedBy(host.link(), bob), bob))).to.equal("done");
    });

    it("goes on for who began last alone, so that no host is half of each", async () => {
      const file = join(host.folder, "agent.yaml");
      const change = (who: string) => configure(claimedBy(host.link(), who), web, { ...desired, files: { [file]: `of: ${who}\n` } }, false);
      await begin(lockedBy(host.link(), ada), ada);
      await change(ada);
      await begin(lockedBy(host.link(), bob), bob);
      expect(await said(change(ada))).to.equal(`web-1: configuration: taken_over: on this host works ${bob}: plan again when it has ended`);
      expect(host.read("agent.yaml")).to.equal(`of: ${ada}\n`);
      await change(bob);
      await record(claimedBy(host.link(), bob), "web-1", desired, "8");
      expect(host.read("agent.yaml")).to.equal(`of: ${bob}\n`);
      expect(JSON.parse(host.read("var/lib/entityos-metal/record.json") ?? "")).to.deep.equal({
        ...parseObserved(sound(web, "8")).record,
        host: "web-1",
      });
      expect(await said(change(ada))).to.include("taken_over: on this host works no deploy any more");
    });
  });
});
