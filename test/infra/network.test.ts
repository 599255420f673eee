import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "../..");

/** How Terraform's JSON refers to a zone's security group. */
const group = (zone: string): string => `\${aws_security_group.${zone}-group.id}`;
const OPEN = group("open");
const RESTRICTED = group("restricted");

interface Stack {
  readonly terraform: { readonly backend: Readonly<Record<string, unknown>> };
  readonly resource: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;
}

describe("the network stack", () => {
  let folder = "";
  let text = "";
  let stack: Stack;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-infra-"));
    const run = synth();
    expect(run.status, run.stderr).to.equal(0);
    text = readFileSync(join(folder, "cdktf.out/stacks/example-network/cdk.tf.json"), "utf8");
    stack = JSON.parse(text) as Stack;
  });
  after(() => rmSync(folder, { recursive: true }));

  /** The app as users run it, with no terraform on PATH, no credentials and no home. */
  function synth(...args: readonly string[]) {
    return spawnSync("/bin/sh", [join(ROOT, "scripts/run"), "infra/main.ts", ...args], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin", CDKTF_OUTDIR: join(folder, "cdktf.out") },
    });
  }

  const resources = (type: string) => Object.values(stack.resource[type] ?? {});

  it("admits everyone to nothing but the register role's port in the open zone", () => {
    const ingress = resources("aws_vpc_security_group_ingress_rule");
    const everyone = ingress.filter((rule) => [rule.cidr_ipv4, rule.cidr_ipv6].some((cidr) => String(cidr).endsWith("/0")));
    expect(
      everyone.map(({ security_group_id, ip_protocol, from_port, to_port, cidr_ipv4, cidr_ipv6 }) =>
        [security_group_id, ip_protocol, from_port, to_port, cidr_ipv4 ?? cidr_ipv6].join(" "),
      ),
    ).to.have.members([`${OPEN} tcp 443 443 0.0.0.0/0`, `${OPEN} tcp 443 443 ::/0`]);
  });

  it("names everyone nowhere else but in the routes", () => {
    const elsewhere = Object.entries(stack.resource).filter(
      ([type, all]) =>
        !["aws_route", "aws_vpc_security_group_ingress_rule"].includes(type) && /"(0\.0\.0\.0|::)\/0"/.test(JSON.stringify(all)),
    );
    expect(elsewhere).to.deep.equal([]);
  });

  it("lets packets from the named networks alone into the restricted zone", () => {
    const rules = resources("aws_vpc_security_group_ingress_rule").filter(({ security_group_id }) => security_group_id === RESTRICTED);
    expect(
      rules.map(({ from_port, to_port, cidr_ipv4, referenced_security_group_id }) => [
        from_port,
        to_port,
        cidr_ipv4 ?? referenced_security_group_id,
      ]),
    ).to.have.deep.members([
      [443, 443, "203.0.113.0/24"],
      [8444, 8444, "198.51.100.0/28"],
      [22, 22, "198.51.100.0/28"],
      [5432, 5432, OPEN],
      [5432, 5432, RESTRICTED],
      [8444, 8444, RESTRICTED],
    ]);
  });

  it("lets the open zone reach Storage and nothing else", () => {
    const rules = resources("aws_vpc_security_group_egress_rule").filter(({ security_group_id }) => security_group_id === OPEN);
    expect(
      rules.map(({ from_port, to_port, referenced_security_group_id }) => [from_port, to_port, referenced_security_group_id]),
    ).to.deep.equal([[5432, 5432, RESTRICTED]]);
  });

  it("has rules in groups by resources of their own and none inline, and takes the default group's away", () => {
    for (const one of [...resources("aws_security_group"), ...resources("aws_default_security_group")]) {
      expect(one).to.not.have.any.keys("ingress", "egress");
    }
    expect(resources("aws_default_security_group")).to.have.length(1);
  });

  it("makes every subnet of both zones, IPv4 and IPv6, with no public address by default", () => {
    const subnets = resources("aws_subnet");
    expect(subnets.map(({ cidr_block }) => cidr_block)).to.deep.equal(["10.20.0.0/24", "10.20.1.0/24", "10.20.128.0/24", "10.20.129.0/24"]);
    expect(new Set(subnets.map(({ ipv6_cidr_block }) => ipv6_cidr_block)).size).to.equal(4);
    expect(subnets.every((subnet) => !("map_public_ip_on_launch" in subnet))).to.equal(true);
  });

  it("keeps its state where the settings say and writes no path of this machine", () => {
    expect(stack.terraform.backend).to.deep.equal({ local: { path: "state/example-network.tfstate" } });
    expect(text).not.to.include(ROOT);
    expect(text).not.to.include(folder);
  });

  it("is not written from settings that are wrong: they are told and the exit code is 78", () => {
    const file = join(folder, "wrong.yaml");
    writeFileSync(file, "environment: a\n");
    const run = synth(file);
    expect({ code: run.status, stdout: run.stdout }).to.deep.equal({ code: 78, stdout: "" });
    expect(run.stderr).to.match(/^Cannot use .*wrong\.yaml:\n {2}region: .*\n {2}backend: .*\n {2}network: .*\n$/);
  });
});
