import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseConfig } from "../../../lib/config.ts";
import { PATH } from "../../../lib/service.ts";
import { namesOf } from "../names.ts";
import { type Resource, resourcesOf, type Synthesis } from "../synthesis.ts";
import { ref } from "./cast/member.ts";
import { meaning } from "./meaning.ts";
import { at, type Forbidden } from "./rule.ts";

const FILE = /^install -D -m (\d+) \/dev\/stdin (\S+) <<'(\w+)'\n([\s\S]*?)\n\3$/gm;

/** Files that an instance's user data writes, by path. */
function filesOf(synthesis: Synthesis, { part, fields }: Resource): ReadonlyMap<string, string> {
  const text = meaning(synthesis, part, String(fields.user_data ?? ""));
  return new Map([...text.matchAll(FILE)].map(([, , path = "", , content = ""]) => [path, content]));
}

type Tree = { readonly [key: string]: Tree | undefined };

/** A key of a configuration, "gate.lanes", and what it must be. */
type Wanted = Readonly<Record<string, unknown>>;

function agentWanted({ settings }: Synthesis, name: string): Wanted {
  const { network, restricted, domain } = settings;
  const probe = [
    ...network.zones.map(({ open }) => open),
    ...network.zones.map((zone) => ref(`network aws_subnet.open-${zone.name}.ipv6_cidr_block`)),
  ];
  return {
    name,
    "registry.addresses": [namesOf(domain).controlUrl],
    "gate.lanes": restricted.lanes,
    "gate.management": { networks: [] },
    "gate.probe": { networks: probe },
    "terminator.kind": "haproxy",
  };
}

function registryWanted({ settings }: Synthesis): Wanted {
  const names = namesOf(settings.domain);
  return {
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
      const tree = parseConfig(file, text, z.unknown()) as Tree;
      return Object.entries(wanted).flatMap(([path, value]) => {
        const is = path.split(".").reduce<Tree | undefined>((inside, key) => inside?.[key], tree);
        return isDeepStrictEqual(is, value) ? [] : [at(instance, `${file} says ${path}: ${JSON.stringify(is) ?? "nothing"}`)];
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
      const pinned = filesOf(synthesis, instance).get("/etc/entityos-agent/ca.pem");
      return pinned?.trim() === root ? [] : [at(instance, "pins another root")];
    }),
};

export const CONFIGURATION: readonly Forbidden[] = [gateOpened, otherRoot];
