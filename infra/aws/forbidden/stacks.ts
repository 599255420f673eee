import { isDeepStrictEqual } from "node:util";
import type { Fields, Json, StackJson, Synthesis } from "../synthesis.ts";
import { ref } from "./cast/member.ts";
import { partOf, stateKey, unreadable } from "./meaning.ts";
import type { Forbidden } from "./rule.ts";

/** What a stack is made of: no module, no import, no variable, nothing that Terraform does beside resources. */
const BLOCKS = ["//", "terraform", "provider", "resource", "data", "output"];
/** Debian's own account (https://wiki.debian.org/Cloud/AmazonEC2Image), written here too: this list does not read what it judges. */
const DEBIAN = "136693071363";

const without = (fields: Json | undefined): Json => {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) return fields ?? null;
  const { "//": _, ...rest } = fields as Fields;
  return rest;
};

const eachStack = (synthesis: Synthesis, wrong: (stack: StackJson, part: string) => readonly string[]): string[] =>
  [...synthesis.stacks].flatMap(([part, stack]) => wrong(stack, part).map((what) => `${part} ${what}`));

const otherBlocks: Forbidden = {
  name: "other-block",
  why: "a stack is resources, data, outputs and providers: nothing is imported, moved or run beside them",
  look: (synthesis) =>
    eachStack(synthesis, (stack) => [
      ...Object.keys(stack)
        .filter((name) => !BLOCKS.includes(name))
        .map((name) => `${name}: is no part of a stack`),
      ...Object.keys(stack.terraform)
        .filter((name) => !["backend", "required_providers"].includes(name))
        .map((name) => `terraform.${name}: is no part of a stack`),
    ]),
};

const otherProvider: Forbidden = {
  name: "other-provider",
  why: "AWS's and TLS's own providers in the versions of the lockfile, in the settings' region, as who deploys",
  look: (synthesis) =>
    eachStack(synthesis, ({ provider, terraform }, part) => {
      const { environment, region } = synthesis.settings;
      const tags = { environment, part, project: "entityos-gate" };
      const wanted: Fields = { aws: [{ default_tags: [{ tags }], region }], ...(provider?.tls === undefined ? {} : { tls: [{}] }) };
      const sources = Object.entries(terraform.required_providers).map(([name, one]) => [name, (one as Fields).source]);
      const known: Readonly<Record<string, Json>> = { aws: "aws", tls: "hashicorp/tls" };
      return [
        ...(isDeepStrictEqual(provider, wanted) ? [] : ["provider: is another, or acts as somebody else"]),
        ...sources
          .filter(([name, source]) => known[String(name)] !== source)
          .map(([name, source]) => `provider ${name}: comes from ${source}`),
      ];
    }),
};

const otherState: Forbidden = {
  name: "other-state",
  why: "a state is written to and read from its own place in the settings' bucket alone",
  look: (synthesis) => {
    const { environment, state } = synthesis.settings;
    const place = (part: string): Fields => ({
      bucket: state.bucket,
      encrypt: true,
      key: stateKey(environment, part),
      kms_key_id: state.kmsKey,
      region: state.region,
    });
    return eachStack(synthesis, ({ terraform, data = {} }, part) => [
      ...(isDeepStrictEqual(terraform.backend, { s3: { ...place(part), use_lockfile: true } }) ? [] : ["backend: is another place"]),
      ...Object.entries(data.terraform_remote_state ?? {}).flatMap(([id, fields]) => {
        const read = partOf(synthesis, fields.config);
        const wanted = { backend: "s3", config: place(read ?? ""), workspace: ref("terraform.workspace") };
        return read !== null && isDeepStrictEqual(without(fields), wanted) ? [] : [`data.terraform_remote_state.${id}: is another state`];
      }),
    ]);
  },
};

const otherData: Forbidden = {
  name: "other-data",
  why: "what is looked up is a closed list: the account, Debian's own image, states of the environment",
  look: (synthesis) =>
    eachStack(synthesis, ({ data = {} }) => {
      const { image, architecture } = synthesis.settings;
      const debian: Fields = {
        filter: [
          { name: "name", values: [`debian-${image}-${architecture}-*`] },
          { name: "state", values: ["available"] },
        ],
        most_recent: true,
        owners: [DEBIAN],
      };
      const known: Readonly<Record<string, Json>> = { "aws_caller_identity.account": {}, "aws_ami.debian": debian };
      return Object.entries(data).flatMap(([type, all]) =>
        Object.entries(all).flatMap(([id, fields]) => {
          if (type === "terraform_remote_state") return [];
          const wanted = known[`${type}.${id}`];
          if (wanted === undefined) return [`data.${type}.${id}: is not on the list`];
          return isDeepStrictEqual(without(fields), wanted) ? [] : [`data.${type}.${id}: looks for something else`];
        }),
      );
    }),
};

const unreadableText: Forbidden = {
  name: "unreadable-expression",
  why: "an expression is a reference to what is there, or one of five functions of it: these rules can read every one",
  look: (synthesis) =>
    eachStack(synthesis, ({ resource, output = {}, provider = {} }, part) => [
      ...Object.entries(resource).flatMap(([type, all]) =>
        Object.entries(all).flatMap(([id, fields]) => unreadable(synthesis, part, fields).map((text) => `${type}.${id}: says ${text}`)),
      ),
      ...Object.entries(output).flatMap(([name, { value }]) =>
        unreadable(synthesis, part, value).map((text) => `output ${name}: says ${text}`),
      ),
      ...unreadable(synthesis, part, provider).map((text) => `provider: says ${text}`),
    ]),
};

export const STACKS: readonly Forbidden[] = [otherBlocks, otherProvider, otherState, otherData, unreadableText];
