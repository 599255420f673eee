import { EbsVolume } from "@cdktf/provider-aws/lib/ebs-volume/index.js";
import type { Instance } from "@cdktf/provider-aws/lib/instance/index.js";
import type { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import type { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import { VolumeAttachment } from "@cdktf/provider-aws/lib/volume-attachment/index.js";
import { Fn } from "cdktf";
import type { Construct } from "constructs";
import { PATH, PORT } from "../../lib/service.ts";
import { registryYaml } from "../hosts.ts";
import { type Balancer, writeBalancer } from "./balancer.ts";
import type { BootKey, BootRootKey } from "./boot/input.ts";
import { writeBucket } from "./bucket.ts";
import type { AwsSettings } from "./form.ts";
import { imageId, writeHost } from "./host.ts";
import { namesOf } from "./names.ts";
import type { NetworkStack } from "./network.ts";
import { packageFiles, plannedPackages } from "./packages.ts";
import { type PkiStack, SIGNING } from "./pki.ts";
import { writeSnapshots } from "./snapshots.ts";
import { AwsStack, type Statement } from "./stack.ts";
import { METADATA, userData } from "./user-data.ts";

const DISK_GB = 20;
/** In the block of addresses that are named (network.ts): the registry's is always the same, whichever machine has it. */
const HOST_NUMBER = 20;

/** What the registry's own parser sees in the place of a key that AWS names later. */
const exampleKey = (index: number): string => `arn:aws:kms:eu-central-1:111122223333:key/0000000${index}-0000-0000-0000-000000000000`;

/**
 * The registry: one machine with both roles in the restricted zone, since they share Storage in one process; register alone is reached
 * from outside, over a load balancer in the open zone. With it what it shares with hosts: the bucket and the key of disks.
 */
export class RegistryStack extends AwsStack {
  readonly key: KmsKey;
  readonly bucketKey: KmsKey;
  readonly bucket: S3Bucket;
  readonly instance: Instance;
  readonly balancer: Balancer;
  readonly address: string;

  constructor(scope: Construct, settings: AwsSettings, { network, pki }: { network: NetworkStack; pki: PkiStack }) {
    super(scope, "registry", settings);
    const [first] = settings.network.zones;
    const zone = settings.network.zones.find(({ name }) => name === settings.registry.zone) ?? first;
    const subnet = network.restricted.get(zone?.name ?? "");
    if (zone === undefined || subnet === undefined) throw new RangeError("An environment has one zone at least");
    this.key = this.encryptionKey("key", "disks and snapshots", { keeps: true });
    // Hosts use the bucket's key themselves; a disk's key is used by EC2 alone.
    this.bucketKey = this.encryptionKey("bucket-key", "packages and enrolments", { keeps: false });
    const files = new Set(Object.values(packageFiles(settings)).flat());
    this.bucket = writeBucket(this, this.bucketKey, plannedPackages(this, [...files]));
    this.address = Fn.cidrhost(zone.restricted, HOST_NUMBER);
    const volume = this.#volume(zone.name);

    this.instance = writeHost(this, {
      name: "registry",
      image: imageId(this, settings),
      instanceType: settings.registry.instanceType,
      subnet,
      group: network.group("registry"),
      key: this.key,
      bucket: this.bucket,
      bucketKey: this.bucketKey,
      diskGb: DISK_GB,
      userData: this.#userData(pki, volume),
      statements: [
        ...(pki.key === null ? [] : [{ Sid: "KeysKey", Effect: "Allow", Action: ["kms:Decrypt"], Resource: pki.key.arn } as const]),
        ...(pki.privateCa === null ? [] : [pki.privateCa.keyStatement]),
      ],
      own: () => this.#statements(pki),
      privateIp: this.address,
      ipv6: false,
    });
    new VolumeAttachment(this, "volume-attachment", {
      deviceName: "/dev/sdf",
      instanceId: this.instance.id,
      volumeId: volume.id,
      stopInstanceBeforeDetaching: true,
    });
    this.balancer = writeBalancer(this, {
      name: "register",
      vpc: network.vpc,
      subnets: network.open.values(),
      group: network.group("register-balancer"),
      port: PORT.register,
      health: { protocol: "HTTPS", path: "/readyz", port: String(PORT.register), matcher: "200", interval: 10, timeout: 6 },
      targets: new Map([["registry", this.instance.id]]),
      clients: "proxy-header",
    });
  }

  /** What the registry keeps outlives every machine: snapshots while it runs, a last one when it goes. */
  #volume(availabilityZone: string): EbsVolume {
    const { registry } = this.settings;
    const tags = { Name: this.named("registry"), snapshots: this.named("registry") };
    const volume = new EbsVolume(this, "volume", {
      availabilityZone,
      size: registry.volumeGb,
      type: "gp3",
      encrypted: true,
      kmsKeyId: this.key.arn,
      finalSnapshot: true,
      tags,
    });
    this.keep(volume);
    writeSnapshots(this, { snapshots: tags.snapshots }, registry.snapshots);
    return volume;
  }

  /** Whether the settings let the registry's host use the root's key. */
  get #rootAtHand(): boolean {
    const { pki } = this.settings;
    return pki.kind !== "own" && pki.rootAtHand;
  }

  #keys({ secrets }: PkiStack): readonly BootKey[] {
    return [...secrets].flatMap(([name, { arn }]) => (name === "root" ? [] : [{ name, secret: arn }]));
  }

  #rootKey({ secrets }: PkiStack): BootRootKey | null {
    const secret = secrets.get("root")?.arn;
    return secret === undefined ? null : { secret, atHand: this.#rootAtHand };
  }

  #statements(pki: PkiStack): readonly Statement[] {
    const root = this.#rootKey(pki);
    const secrets = [...(root?.atHand === true ? [root] : []), ...this.#keys(pki)].map(({ secret }) => secret);
    const signing = [...pki.signing].flatMap(([name, arn]) => (name === "root" && !this.#rootAtHand ? [] : [arn]));
    const folder = `${this.bucket.arn}/hosts/*`;
    return [
      pki.key === null
        ? { Sid: "Sign", Effect: "Allow", Action: SIGNING, Resource: signing }
        : { Sid: "Keys", Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: secrets },
      ...(pki.privateCa?.statements(this.#rootAtHand) ?? []),
      { Sid: "Requests", Effect: "Allow", Action: ["s3:GetObject"], Resource: [`${folder}/agent.csr`, `${folder}/service.csr`] },
      { Sid: "Certificates", Effect: "Allow", Action: ["s3:PutObject"], Resource: [`${folder}/agent.crt`, `${folder}/service.crt`] },
    ];
  }

  #signer({ signing, privateCa }: PkiStack) {
    const one = (name: "root" | "infrastructure" | "device") => [signing.get(name) ?? ""];
    if (privateCa !== null)
      return { ca: { signer: { kind: "acmPca" as const, authorities: [{ arn: privateCa.arn, list: privateCa.list }] } } };
    if (signing.size === 0) return {};
    return { ca: { signer: { kind: "kms" as const, root: one("root"), infrastructure: one("infrastructure"), device: one("device") } } };
  }

  #userData(pki: PkiStack, volume: EbsVolume): string {
    const { settings } = this;
    const names = namesOf(settings.domain);
    const text = registryYaml(
      {
        name: names.register,
        register: {
          names: [names.register, names.registerIpv4, names.registerIpv6],
          proxies: settings.network.zones.map(({ open }) => open),
        },
        control: { names: [names.control] },
        ...this.#signer(pki),
      },
      new Map([...[...pki.signing.values()].map((arn, index) => [arn, exampleKey(index)] as const), ...(pki.privateCa?.later ?? [])]),
    );
    return userData({
      name: "registry",
      region: settings.region,
      bucket: `https://${this.bucket.bucketRegionalDomainName}`,
      metadata: METADATA,
      packages: plannedPackages(this, packageFiles(settings).registry),
      debian: ["nftables"],
      files: [{ path: PATH.registryConfig, mode: "0644", text }],
      role: {
        kind: "registry",
        volume: `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${Fn.replace(volume.id, "-", "")}`,
        secrets: `https://secretsmanager.${settings.region}.amazonaws.com`,
        certificates: pki.certificates,
        keys: this.#keys(pki),
        rootKey: this.#rootKey(pki),
        signsAtAws: pki.signing.size > 0 || pki.privateCa !== null,
      },
    });
  }
}
