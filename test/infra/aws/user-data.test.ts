import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import type { UserDataInput } from "../../../infra/aws/boot/input.ts";
import { bucketTools } from "../../../infra/aws/boot/tools.ts";
import { MAX_USER_DATA, METADATA, userData } from "../../../infra/aws/user-data.ts";
import { agentYaml, registryYaml } from "../../../infra/hosts.ts";
import { ConfigError } from "../../../lib/config.ts";
import { startDouble } from "./bucket.ts";

const PEM = `-----BEGIN CERTIFICATE-----\n${"MIIB".repeat(200)}\n-----END CERTIFICATE-----\n`;
const COMMON = {
  region: "eu-west-1",
  bucket: "https://packages.s3.eu-west-1.amazonaws.com",
  metadata: METADATA,
  packages: ["node_24.20.0_amd64", "agent_0.1.0_all", "cli_0.1.0_all"].map((name) => ({
    file: `entityos-${name}.deb`,
    sha256: "ab".repeat(32),
  })),
};
const AGENT: UserDataInput = {
  ...COMMON,
  name: "web-1",
  debian: ["haproxy"],
  files: [
    {
      path: "/etc/entityos-agent/agent.yaml",
      mode: "0644",
      text: agentYaml({
        name: "web-1",
        registry: {
          addresses: ["https://control.example:8444"],
          ca: "/etc/entityos-agent/ca.pem",
          certificate: "/etc/entityos-agent/agent.crt",
          key: "/etc/entityos-agent/agent.key",
        },
      }),
    },
    { path: "/etc/entityos-agent/ca.pem", mode: "0644", text: PEM },
  ],
  role: { kind: "agent" },
};
const secret = (name: string): string => `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}`;
const REGISTRY: UserDataInput = {
  ...COMMON,
  name: "registry",
  debian: [],
  files: [{ path: "/etc/entityos-registry/registry.yaml", mode: "0644", text: registryYaml({ name: "register.example" }) }],
  role: {
    kind: "registry",
    volume: "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0",
    secrets: "https://secretsmanager.eu-west-1.amazonaws.com",
    certificates: { root: PEM, infrastructure: PEM, device: PEM },
    keys: [
      { name: "infrastructure", secret: secret("infrastructure") },
      { name: "device", secret: secret("device") },
    ],
    rootKey: { secret: secret("root"), atHand: true },
    signsAtAws: false,
  },
};

/** How Terraform refers to what it learns later. */
const KNOWN_LATER = ["$", "{aws_vpc.vpc.ipv6_cidr_block}"].join("");

/** Files that a script writes, by path. */
const written = (script: string): Map<string, string> =>
  new Map(
    [...script.matchAll(/^install -D -m \d+ \/dev\/stdin (\S+) <<'END_OF_ENTITYOS_FILE'\n([\s\S]*?)^END_OF_ENTITYOS_FILE$/gm)].map(
      ([, path = "", file = ""]) => [path, file],
    ),
  );

describe("the user data of a machine", () => {
  for (const input of [AGENT, REGISTRY]) {
    it(`of ${input.name} is shell that parses, whole and each program in it, and fits into what EC2 takes`, () => {
      const script = userData(input);
      const programs = [...written(script)].filter(([path]) => path.includes("/sbin/")).map(([, file]) => file);
      expect(programs).to.have.length(input.role.kind === "registry" ? 4 : 2);
      for (const program of [script, ...programs]) {
        const run = spawnSync("/bin/sh", ["-n"], { input: program, encoding: "utf8" });
        expect({ status: run.status, said: run.stderr }).to.deep.equal({ status: 0, said: "" });
      }
      expect(Buffer.byteLength(script)).to.be.lessThan(MAX_USER_DATA);
      expect(userData(structuredClone(input))).to.equal(script);
    });

    it(`of ${input.name} has nothing in it that Terraform would take for its own`, () => {
      expect(userData(input)).not.to.match(/[$%]\{/);
    });
  }

  it("writes configurations as they are given, byte for byte", () => {
    expect(written(userData(AGENT)).get("/etc/entityos-agent/agent.yaml")).to.equal(AGENT.files[0]?.text);
    expect(written(userData(AGENT)).get("/etc/entityos-agent/ca.pem")).to.equal(PEM);
  });

  it("reads keys by name from Secrets Manager and holds none; the root's goes into memory alone", () => {
    const script = userData(REGISTRY);
    expect(script).not.to.include("PRIVATE KEY");
    const reads = (path: string) =>
      written(script)
        .get(`/usr/local/sbin/${path}`)
        ?.match(/secret arn:aws:\S+ \S+/g);
    expect(reads("entityos-first-boot")).to.deep.equal([
      "secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:infrastructure /var/lib/entityos-registry/pki/infrastructure.key",
      "secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:device /var/lib/entityos-registry/pki/device.key",
    ]);
    expect(reads("entityos-root-key")).to.deep.equal([
      "secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:root /run/entityos-root-key/root.key",
    ]);
  });

  it("signs with the root's key at the first boot only where it is at hand", () => {
    const steps = (atHand: boolean) => {
      const role = { ...REGISTRY.role, rootKey: { secret: secret("root"), atHand } } as UserDataInput["role"];
      const program = written(userData({ ...REGISTRY, role })).get("/usr/local/sbin/entityos-first-boot") ?? "";
      return program.split("\n").filter((line) => / init\b/.test(line));
    };
    expect(steps(false)).to.deep.equal(["entityos-registry init"]);
    expect(steps(true)).to.deep.equal([
      "if [ -e /var/lib/entityos-registry/pki/root.crl ]; then entityos-registry init; else entityos-root-key entityos-registry init; fi",
    ]);
  });

  it("leaves metadata to root alone, and to the registry's user where it asks AWS for signatures", () => {
    const program = (input: UserDataInput) => written(userData(input)).get("/usr/local/sbin/entityos-metadata") ?? "";
    const signing = { ...REGISTRY, role: { ...REGISTRY.role, signsAtAws: true } as UserDataInput["role"] };
    for (const input of [AGENT, REGISTRY, signing])
      expect(program(input))
        .to.include("    ip daddr 169.254.169.254 jump asked\n    ip6 daddr fd00:ec2::254 jump asked\n")
        .and.include("    meta skuid { $users } accept\n")
        .and.include("\nusers=0\n");
    expect([AGENT, REGISTRY, signing].map((input) => program(input).includes("id -u entityos-registry"))).to.deep.equal([
      false,
      false,
      true,
    ]);
  });

  it("has its time from AWS, and finds narrow paths without ICMP, since its groups let neither pass", () => {
    for (const input of [AGENT, REGISTRY]) {
      const script = userData(input);
      expect(written(script).get("/etc/systemd/timesyncd.conf.d/entityos-instance.conf")).to.equal("[Time]\nNTP=169.254.169.123\n");
      expect(written(script).get("/etc/chrony/sources.d/entityos-instance.sources")).to.equal("server 169.254.169.123 prefer iburst\n");
      expect(written(script).get("/etc/sysctl.d/entityos-instance.conf")).to.equal("net.ipv4.tcp_mtu_probing = 1\n");
      expect(script.indexOf('systemctl try-restart "$unit.service"')).to.be.greaterThan(script.lastIndexOf("END_OF_ENTITYOS_FILE"));
    }
  });

  it("closes a host behind the gate before it asks for anything, and the registry's not", () => {
    const program = (input: UserDataInput) => written(userData(input)).get("/usr/local/sbin/entityos-first-boot") ?? "";
    expect(program(AGENT).indexOf("|| close_host\n")).to.be.greaterThan(0).and.lessThan(program(AGENT).indexOf("curl"));
    expect(program(REGISTRY)).not.to.include("policy drop");
  });

  it("is not made of what is more than a word of the shell, nor of a file that ends early", () => {
    for (const name of ["a b", "a;reboot", "$(id)", "`id`", "a'", ""])
      expect(() => userData({ ...AGENT, name }), name).to.throw(RangeError);
    const early = { path: "/etc/x", mode: "0644", text: "a\nEND_OF_ENTITYOS_FILE\nreboot\n" } as const;
    expect(() => userData({ ...AGENT, files: [early] })).to.throw(RangeError);
  });

  it("carries no configuration that the program would refuse", () => {
    expect(() => agentYaml({ name: "web 1", registry: { addresses: ["http://x"], ca: "a", certificate: "b", key: "c" } })).to.throw(
      ConfigError,
      /name: [\s\S]*registry\.addresses\.0: /,
    );
    const later = new Map([[KNOWN_LATER, "2001:db8::/56"]]);
    const registry = { name: "register.example", register: { proxies: [[...later.keys()].join()] } };
    expect(() => registryYaml(registry)).to.throw(ConfigError);
    expect(registryYaml(registry, later)).to.include(KNOWN_LATER);
  });
});

/** Of "a request" and "another". */
const DIGEST = "c45558165f3c3db272a64da7e1db1b8bf3f9389cf6019d74352597d6b5edcf33\n";

describe("the tools of a first boot", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-boot-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  async function tools(bucket: string, commands: string): Promise<{ status: number | null; out: string; said: string }> {
    const script = `set -eu\n${bucketTools({ region: "eu-west-1", bucket, metadata: bucket })}\n${commands}`;
    const child = spawn("/bin/sh", ["-c", script], { cwd: folder, env: { PATH: "/usr/bin:/bin" } });
    const [out, said, status] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number | null>((resolve) => child.once("close", resolve)),
    ]);
    return { status, out, said };
  }

  it("fetch and store as the instance, signed, with the hash of what travels", async () => {
    await using double = await startDouble();
    double.objects.set("/packages/a_1.deb", Buffer.from("a package"));
    writeFileSync(join(folder, "agent.csr"), "a request\n");
    const run = await tools(double.url, "fetch packages/a_1.deb a.deb\nstore agent.csr hosts/web-1/$(metadata instance-id)/agent.csr");
    expect({ run, refused: double.refused }).to.deep.equal({ run: { status: 0, out: "", said: "" }, refused: [] });
    expect(readFileSync(join(folder, "a.deb"), "utf8")).to.equal("a package");
    expect(String(double.objects.get("/hosts/web-1/i-0123456789abcdef0/agent.csr"))).to.equal("a request\n");
  });

  it("fetch what has a plus sign in its name, which S3 takes for a blank where it is not escaped", async () => {
    await using double = await startDouble();
    double.objects.set("/packages/a_1.0+build1.deb", Buffer.from("a build"));
    const run = await tools(double.url, "fetch packages/a_1.0+build1.deb a.deb");
    expect({ run, refused: double.refused }).to.deep.equal({ run: { status: 0, out: "", said: "" }, refused: [] });
    expect(readFileSync(join(folder, "a.deb"), "utf8")).to.equal("a build");
  });

  it("tell a host's requests by one digest, which is another one for any other of them", async () => {
    const digest = async (agent: string, service: string) => {
      writeFileSync(join(folder, "agent.csr"), agent);
      writeFileSync(join(folder, "service.csr"), service);
      return (await tools("http://127.0.0.1", "requests_digest .")).out;
    };
    expect(await digest("a request\n", "another\n")).to.equal(DIGEST);
    for (const [agent, service] of [
      ["another\n", "a request\n"],
      ["a request\nanother\n", ""],
      ["a request\n", "another"],
    ] as const)
      expect(await digest(agent, service))
        .to.match(/^[0-9a-f]{64}\n$/)
        .and.not.equal(DIGEST);
  });

  it("fail when the bucket refuses, and leave no file", async () => {
    await using double = await startDouble();
    const run = await tools(double.url, "fetch packages/none.deb none.deb");
    expect(run.status).to.equal(22);
    expect(double.refused).to.deep.equal(["404 GET /packages/none.deb"]);
    expect(() => readFileSync(join(folder, "none.deb"))).to.throw("ENOENT");
  });
});
