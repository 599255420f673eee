import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseConfig } from "../../../lib/config.ts";
import { PATH } from "../../../lib/service.ts";
import { namesOf } from "../names.ts";
import { type Resource, resourcesOf, type Synthesis } from "../synthesis.ts";
import { ref } from "./cast/member.ts";
import { isPrivateCa } from "./cast/private-ca.ts";
import { meaning } from "./meaning.ts";
import { at, type Forbidden } from "./rule.ts";

const FILE = /^install -D -m (\d+) \/dev\/stdin (\S+) <<'(\w+)'\n([\s\S]*?)\n\3$/gm;

const ETC = "/etc/entityos-agent";

/** Files that an instance's user data writes, by path. */
export function filesOf(synthesis: Synthesis, { part, fields }: Resource): ReadonlyMap<string, string> {
  const text = meaning(synthesis, part, String(fields.user_data ?? ""));
  return new Map([...text.matchAll(FILE)].map(([, , path = "", , content = ""]) => [path, content]));
}

type Tree = { readonly [key: string]: Tree | undefined };

/** What a configuration says, by "group.key"; what stands outside of groups by its key. */
const settingsIn = (tree: Tree): ReadonlyMap<string, unknown> =>
  new Map(
    Object.entries(tree).flatMap(([key, value]): [string, unknown][] =>
      typeof value === "object" && !Array.isArray(value)
        ? Object.entries(value).map(([inner, one]) => [`${key}.${inner}`, one])
        : [[key, value]],
    ),
  );

/** Everything that a configuration says, "gate.lanes", and what it must be. */
type Wanted = Readonly<Record<string, unknown>>;

function agentWanted({ settings }: Synthesis, name: string): Wanted {
  const { network, restricted, domain } = settings;
  const probe = [
    ...network.zones.map(({ open }) => open),
    ...network.zones.map((zone) => ref(`network aws_subnet.open-${zone.name}.ipv6_cidr_block`)),
  ];
  return {
    zone: "restricted",
    name,
    "registry.ca": `${ETC}/ca.pem`,
    "registry.certificate": `${ETC}/agent.crt`,
    "registry.key": `${ETC}/agent.key`,
    "registry.addresses": [namesOf(domain).controlUrl],
    "gate.lanes": restricted.lanes,
    "gate.management": { networks: [] },
    "gate.probe": { networks: probe },
    "terminator.kind": "haproxy",
  };
}

function registryWanted({ settings }: Synthesis): Wanted {
  const names = namesOf(settings.domain);
  const key = (name: string): string[] => [ref(`pki aws_kms_key.${name}-key.arn`)];
  const arn = "pki aws_acmpca_certificate_authority.device-ca.arn";
  const list = `https://${ref("pki aws_s3_bucket.lists.bucket_regional_domain_name")}/crl/${ref(`replace(${arn}, "/^.*[/]/", "")`)}.crl`;
  const privateCa = { kind: "acmPca", authorities: [{ arn: ref(arn), list }] };
  const signer = { kind: "kms", root: key("root"), infrastructure: key("infrastructure"), device: key("device") };
  return {
    ...(settings.pki.kind === "kms" ? { "ca.signer": signer } : {}),
    ...(isPrivateCa(settings) ? { "ca.signer": privateCa } : {}),
    name: names.register,
    "register.names": [names.register, names.registerIpv4, names.registerIpv6],
    "register.proxies": settings.network.zones.map(({ open }) => open),
    "control.names": [names.control],
  };
}

const gateOpened: Forbidden = {
  name: "gate-opened",
  why: "a gate has the settings' lanes, answers the probe of its load balancers' subnets alone and is managed from nowhere; the registry believes PROXY headers of its own load balancer's subnets",
  look: (synthesis) =>
    resourcesOf(synthesis, "aws_instance").flatMap((instance) => {
      const isAgent = instance.part === "restricted";
      const file = isAgent ? PATH.agentConfig : PATH.registryConfig;
      const text = filesOf(synthesis, instance).get(file);
      if (text === undefined) return [at(instance, `gets no ${file}`)];
      const wanted = isAgent ? agentWanted(synthesis, instance.id) : registryWanted(synthesis);
      const told = settingsIn(parseConfig(file, text, z.unknown()) as Tree);
      return [...new Set([...Object.keys(wanted), ...told.keys()])].flatMap((path) => {
        const is = told.get(path);
        return isDeepStrictEqual(is, wanted[path]) ? [] : [at(instance, `${file} says ${path}: ${JSON.stringify(is) ?? "nothing"}`)];
      });
    }),
};

const otherRoot: Forbidden = {
  name: "other-root",
  why: "hosts pin the root of the settings' pki, and no other",
  look: (synthesis) =>
    resourcesOf(synthesis, "aws_instance").flatMap((instance) => {
      if (instance.part !== "restricted") return [];
      const { pki } = synthesis.settings;
      const root = pki.kind === "tls" ? ref("pki tls_self_signed_cert.root.cert_pem") : (pki.root ?? "").trim();
      const pinned = filesOf(synthesis, instance).get(`${ETC}/ca.pem`);
      return pinned?.trim() === root ? [] : [at(instance, "pins another root")];
    }),
};

export const CONFIGURATION: readonly Forbidden[] = [gateOpened, otherRoot];
