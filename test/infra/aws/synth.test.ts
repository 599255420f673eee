import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseAgentConfig } from "../../../agent/config.ts";
import { listing } from "../../../infra/aws/listing.ts";
import { reviewPage } from "../../../infra/aws/review.ts";
import { block, references, resourcesOf } from "../../../infra/aws/synthesis.ts";
import { parseRegistryConfig } from "../../../registry/config.ts";
import { ref } from "./mutation.ts";
import { fileOf as file, settingsText, synthesised } from "./synthesised.ts";

const ROOT = join(import.meta.dirname, "../../..");

describe("an environment on AWS, synthesised", function () {
  this.timeout(180_000);

  const production = () => synthesised("production");
  const one = (part: string, type: string, id: string) => {
    const found = resourcesOf(production(), type).find((resource) => resource.part === part && resource.id === id);
    if (found === undefined) throw new Error(`There is no ${part} ${type}.${id}`);
    return found.fields;
  };

  for (const name of ["production", "trial", "single-zone"] as const) {
    it(`is what docs/aws/${name}.md shows a reviewer (npm run review)`, () => {
      expect(reviewPage(synthesised(name))).to.equal(readFileSync(join(ROOT, `docs/aws/${name}.md`), "utf8"));
    });

    it(`is what docs/aws/${name}.txt lists, to each value`, () => {
      expect(listing(synthesised(name))).to.equal(readFileSync(join(ROOT, `docs/aws/${name}.txt`), "utf8"));
    });
  }

  it("configures each agent so that load balancers alone ask the probe, nobody reaches SSH, and its lanes are the settings'", () => {
    const config = parseAgentConfig(
      "agent.yaml",
      ["2001:db8:0:0::/64", "2001:db8:0:1::/64"].reduce(
        (text, assigned) => text.replace(/\$\{[^}]*\}/, assigned),
        file("restricted", "web-2", "/etc/entityos-agent/agent.yaml"),
      ),
    );
    expect(config.name).to.equal("web-2");
    expect(config.gate.lanes).to.deep.equal({ ip: true, ipcert: true, roaming: false });
    expect(config.gate.management).to.deep.equal({ ports: [22], networks: [] });
    expect(config.gate.probe).to.deep.equal({
      port: 8440,
      networks: ["10.20.0.0/24", "10.20.1.0/24", "2001:db8::/64", "2001:db8:0:1::/64"],
    });
    expect(config.registry.addresses).to.deep.equal(["https://control.gate.example:8444"]);
    expect(config.terminator.kind).to.equal("haproxy");
  });

  it("configures the registry to believe PROXY headers of its own load balancer's subnets alone", () => {
    const config = parseRegistryConfig("registry.yaml", file("registry", "registry", "/etc/entityos-registry/registry.yaml"));
    expect(config.register.proxies).to.deep.equal(["10.20.0.0/24", "10.20.1.0/24"]);
    expect(config.register.names).to.deep.equal(["register.gate.example", "v4.register.gate.example", "v6.register.gate.example"]);
    expect(config.control.names).to.deep.equal(["control.gate.example"]);
  });

  it("pins in every host the root that pki makes, and hands the registry its CAs", () => {
    const root = references(production(), file("restricted", "web-1", "/etc/entityos-agent/ca.pem"));
    expect(root).to.deep.equal(["tls_self_signed_cert.root.cert_pem"]);
    const named = references(production(), one("registry", "aws_instance", "registry").user_data);
    expect(named).to.include.members([
      "tls_self_signed_cert.root.cert_pem",
      "tls_locally_signed_cert.infrastructure.cert_pem",
      "tls_locally_signed_cert.device.cert_pem",
      "aws_secretsmanager_secret.infrastructure-secret.arn",
      "aws_secretsmanager_secret.device-secret.arn",
    ]);
  });

  it("lets the registry read the root's key only while the settings say so", () => {
    const readable = (name: "production" | "trial") => {
      const policy = resourcesOf(synthesised(name), "aws_iam_role_policy").find(({ id }) => id === "registry-own-policy");
      return references(synthesised(name), policy?.fields.policy).filter((reference) => reference.startsWith("aws_secretsmanager_secret."));
    };
    const below = ["aws_secretsmanager_secret.infrastructure-secret.arn", "aws_secretsmanager_secret.device-secret.arn"];
    expect(readable("production")).to.deep.equal(below);
    expect(readable("trial")).to.deep.equal(["aws_secretsmanager_secret.root-secret.arn", ...below]);
  });

  it("lets one instance alone use what is a machine's own: the one that Terraform made, not another one with its role", () => {
    const instanceOf = (part: string, name: string) =>
      (
        JSON.parse(String(one(part, "aws_iam_role_policy", `${name}-own-policy`).policy)) as { Statement: { Condition: unknown }[] }
      ).Statement.map(({ Condition }) => JSON.stringify(Condition));
    for (const [part, name] of [
      ["registry", "registry"],
      ["restricted", "web-1"],
    ] as const) {
      const userId = `${ref(`aws_iam_role.${name}-role.unique_id`)}:${ref(`aws_instance.${name}.id`)}`;
      expect([...new Set(instanceOf(part, name))]).to.deep.equal([JSON.stringify({ StringEquals: { "aws:userid": userId } })]);
    }
    const keys = references(production(), one("registry", "aws_iam_role_policy", "registry-policy").policy);
    expect(keys.filter((name) => name.startsWith("aws_secretsmanager"))).to.deep.equal([]);
    expect(String(one("restricted", "aws_iam_role_policy", "web-1-own-policy").policy)).to.include(
      `/hosts/web-1/${ref("aws_instance.web-1.id")}/agent.csr`,
    );
  });

  it("keeps the CAs' keys in KMS where the settings say so: none is in a state, and the registry may sign with two of them", () => {
    const kms = synthesised("kms");
    expect(resourcesOf(kms, "tls_private_key", "aws_secretsmanager_secret", "aws_secretsmanager_secret_version")).to.deep.equal([]);
    const keys = resourcesOf(kms, "aws_kms_key").filter(({ part }) => part === "pki");
    expect(keys.map(({ id, fields }) => [id, fields.customer_master_key_spec, fields.key_usage])).to.deep.equal([
      ["device-key", "ECC_NIST_P256", "SIGN_VERIFY"],
      ["infrastructure-key", "ECC_NIST_P256", "SIGN_VERIFY"],
      ["root-key", "ECC_NIST_P384", "SIGN_VERIFY"],
    ]);
    const policy = resourcesOf(kms, "aws_iam_role_policy").find(({ id }) => id === "registry-own-policy");
    const named = references(kms, policy?.fields.policy).filter(
      (reference) => reference.includes("kms_key") && !reference.includes("bucket-key"),
    );
    expect(named).to.deep.equal(["aws_kms_key.infrastructure-key.arn", "aws_kms_key.device-key.arn"]);
    const instance = resourcesOf(kms, "aws_instance").find(({ id }) => id === "registry");
    expect(String(instance?.fields.user_data)).to.match(
      /\nca:\n {2}signer:\n {4}kind: kms\n {4}root:\n {6}- \$\{data\.terraform_remote_state/,
    );
  });

  it("gives each family a load balancer of its own, whose targets see the client", () => {
    const groups = resourcesOf(production(), "aws_lb_target_group").map(({ id, fields }) => [
      id,
      fields.ip_address_type,
      fields.target_type,
      fields.preserve_client_ip,
      fields.proxy_protocol_v2,
    ]);
    expect(groups).to.deep.equal([
      ["register-targets", "ipv4", "instance", "false", true],
      ["service-ipv4-targets", "ipv4", "instance", "true", false],
      ["service-ipv6-targets", "ipv6", "ip", "true", false],
    ]);
    const names = resourcesOf(production(), "aws_route53_record").map(({ fields }) => [
      fields.name,
      fields.type,
      references(production(), block(fields.alias).name)[0] ?? "inside",
    ]);
    expect(names).to.have.deep.members([
      ["control.gate.example", "A", "inside"],
      ["register.gate.example", "A", "aws_lb.register.dns_name"],
      ["v4.register.gate.example", "A", "aws_lb.register.dns_name"],
      ["register.gate.example", "AAAA", "aws_lb.register.dns_name"],
      ["v6.register.gate.example", "AAAA", "aws_lb.register.dns_name"],
      ["gate.example", "A", "aws_lb.service-ipv4.dns_name"],
      ["v4.gate.example", "A", "aws_lb.service-ipv4.dns_name"],
      ["gate.example", "AAAA", "aws_lb.service-ipv6.dns_name"],
      ["v6.gate.example", "AAAA", "aws_lb.service-ipv6.dns_name"],
    ]);
  });

  it("boots every machine by shell that parses, with each program in it, whoever's the certificates are", () => {
    const known = (text: string) => text.replaceAll(/\$\{[^}]*\}/g, "known-later");
    const scripts = (["production", "kms", "private-ca", "own"] as const).flatMap((name) =>
      resourcesOf(synthesised(name), "aws_instance").flatMap(({ fields }) => {
        const script = known(String(fields.user_data));
        const programs = [...script.matchAll(/\/sbin\/\S+ <<'END_OF_ENTITYOS_FILE'\n([\s\S]*?)^END_OF_ENTITYOS_FILE$/gm)];
        return [script, ...programs.map(([, program = ""]) => program)];
      }),
    );
    // Of production's registry 5, of each host 3; where no root's key is read, one less.
    expect(scripts).to.have.length(5 + 4 + 5 + 4 + 3 * 2 + 3 * 2 + 3 + 3 * 2);
    for (const script of new Set(scripts)) {
      const { status, stderr } = spawnSync("/bin/sh", ["-n"], { input: script, encoding: "utf8" });
      expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
    }
  });

  it("closes the service port's groups to everyone where networks are named", () => {
    const admitted = resourcesOf(synthesised("trial"), "aws_vpc_security_group_ingress_rule")
      .filter(({ fields }) => String(fields.security_group_id).includes("service-balancer"))
      .map(({ fields }) => [fields.cidr_ipv4 ?? fields.cidr_ipv6, fields.from_port, String(fields.security_group_id)]);
    expect(admitted).to.deep.equal([
      ["203.0.113.0/24", 443, ["$", "{aws_security_group.service-balancer-ipv4.id}"].join("")],
      ["2001:db8:203::/48", 443, ["$", "{aws_security_group.service-balancer-ipv6.id}"].join("")],
    ]);
  });

  it("makes a database in two zones only where there are replicas", () => {
    expect(resourcesOf(production(), "aws_db_instance")).to.deep.equal([]);
    const [database, ...more] = resourcesOf(synthesised("replicas"), "aws_db_instance");
    expect(more).to.deep.equal([]);
    const { multi_az, engine, storage_encrypted, publicly_accessible, manage_master_user_password } = database?.fields ?? {};
    expect({ multi_az, engine, storage_encrypted, publicly_accessible, manage_master_user_password }).to.deep.equal({
      multi_az: true,
      engine: "postgres",
      storage_encrypted: true,
      publicly_accessible: false,
      manage_master_user_password: true,
    });
  });

  it("has a NAT gateway in each zone, or one for all, and each restricted subnet a way out", () => {
    const routes = (name: "production" | "trial") => {
      const of = (type: string) => resourcesOf(synthesised(name), type).length;
      return { nat: of("aws_nat_gateway"), subnets: of("aws_subnet"), associations: of("aws_route_table_association") };
    };
    expect(routes("production")).to.deep.equal({ nat: 2, subnets: 4, associations: 4 });
    expect(routes("trial")).to.deep.equal({ nat: 1, subnets: 4, associations: 4 });
  });
});

describe("synth", function () {
  this.timeout(180_000);
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-synth-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** The app as users run it, with no terraform on PATH, no credentials and no home. */
  const synth = (...args: readonly string[]) =>
    spawnSync("/bin/sh", [join(ROOT, "scripts/run"), "infra/main.ts", ...args], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin", CDKTF_OUTDIR: join(folder, "cdktf.out") },
    });

  it("writes an environment without credentials and terraform, tells how many resources it has, and no path of this machine", () => {
    const run = synth(join(ROOT, "infra/environments/trial.yaml"));
    expect({ status: run.status, stderr: run.stderr }).to.deep.equal({ status: 0, stderr: "" });
    expect(run.stdout).to.match(
      /^trial-alarms +\d+ resources\n(trial-[a-z]+ +\d+ resources\n){5}trial +\d+ resources\nNeeded before deploy, not there yet: dist\//,
    );
    for (const part of ["network", "pki", "registry", "restricted", "dns", "alarms"]) {
      const text = readFileSync(join(folder, `cdktf.out/stacks/trial-${part}/cdk.tf.json`), "utf8");
      expect(text).not.to.include(ROOT);
      expect(text).not.to.include(folder);
    }
  });

  it("takes away what an earlier synthesis wrote of a stack that is no more, and nothing that Terraform keeps beside it", () => {
    const stale = join(folder, "cdktf.out/stacks/trial-database");
    mkdirSync(stale, { recursive: true });
    for (const file of ["cdk.tf.json", "terraform.tfstate"]) writeFileSync(join(stale, file), "{}");
    expect(synth(join(ROOT, "infra/environments/trial.yaml")).status).to.equal(0);
    expect(readdirSync(stale)).to.deep.equal(["terraform.tfstate"]);
  });

  it("writes nothing from settings that are wrong: every problem of every file is told, and the exit code is 78", () => {
    const [first, second] = [join(folder, "first.yaml"), join(folder, "second.yaml")];
    writeFileSync(first, settingsText("trial").replace("t4g.micro", "t3.micro"));
    writeFileSync(second, settingsText("single-zone").replace("roaming: true", "roaming: maybe"));
    const run = synth(first, second);
    expect({ code: run.status, stdout: run.stdout }).to.deep.equal({ code: 78, stdout: "" });
    expect(run.stderr).to.include("first.yaml: registry.instanceType: t3.micro is amd64, not arm64\n");
    expect(run.stderr).to.match(/second\.yaml: restricted\.lanes\.roaming: /);
  });
});
