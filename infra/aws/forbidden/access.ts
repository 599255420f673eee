import { type Json, list, type Resource, references, resourcesOf, type Synthesis } from "../synthesis.ts";
import { at, each, type Forbidden } from "./rule.ts";

/** Actions that know no resources (AWS's Service Authorization Reference, for each of these services). */
const WITHOUT_RESOURCES = new Set([
  "ssm:UpdateInstanceInformation",
  "ssmmessages:CreateControlChannel",
  "ssmmessages:CreateDataChannel",
  "ssmmessages:OpenControlChannel",
  "ssmmessages:OpenDataChannel",
  "ec2:DescribeInstances",
  "ec2:DescribeVolumes",
  "ec2:DescribeSnapshots",
]);

interface Said {
  readonly Effect?: Json;
  readonly Principal?: Json;
  readonly Action?: Json;
  readonly NotAction?: Json;
  readonly Resource?: Json;
  readonly NotResource?: Json;
  readonly Condition?: Json;
}

/** Statements of a policy as it stands in Terraform's JSON. */
export function statementsOf(policy: Json | undefined): readonly Said[] {
  if (typeof policy !== "string" || policy.startsWith("$")) return [];
  const read = JSON.parse(policy) as { readonly Statement?: Said | readonly Said[] };
  return Array.isArray(read.Statement) ? (read.Statement as readonly Said[]) : read.Statement === undefined ? [] : [read.Statement as Said];
}

const withPolicy = (synthesis: Synthesis): Resource[] => resourcesOf(synthesis).filter(({ fields }) => typeof fields.policy === "string");
const text = (value: Json | undefined): string[] => list(value).map(String);

/** In a key's own policy "*" is that key; in an endpoint's it is what passes there. */
const resourceIsItself = ({ type }: Resource): boolean => type === "aws_kms_key" || type === "aws_vpc_endpoint";

/** AWS's default for keys: the account's IAM policies decide. */
const isOwner = (resource: Resource, { Principal, Action }: Said): boolean =>
  resource.type === "aws_kms_key" &&
  /"AWS":"arn:aws:iam::[^"]+:root"/.test(JSON.stringify(Principal ?? null)) &&
  text(Action).join() === "kms:*";

function wildcard(resource: Resource, said: Said): string | null {
  if (said.Effect !== "Allow" || isOwner(resource, said)) return null;
  if ("NotAction" in said || "NotResource" in said) return "allows all but something";
  const actions = text(said.Action);
  const wide = actions.find((action) => action.includes("*"));
  if (wide !== undefined) return `allows ${wide}`;
  if (!text(said.Resource).includes("*") || resourceIsItself(resource)) return null;
  const bound = actions.find((action) => !WITHOUT_RESOURCES.has(action));
  return bound === undefined ? null : `allows ${bound} on everything`;
}

const wildcardIam: Forbidden = {
  name: "wildcard-iam",
  why: "policies name their actions and resources; * stands where an action knows no resource",
  look: (synthesis) => [
    ...withPolicy(synthesis).flatMap((resource) =>
      statementsOf(resource.fields.policy).flatMap((said) => {
        const what = wildcard(resource, said);
        return what === null ? [] : [at(resource, what)];
      }),
    ),
    ...resourcesOf(synthesis, "aws_iam_role_policy_attachment", "aws_iam_policy_attachment").map((one) =>
      at(one, "is a policy that is not here"),
    ),
    ...resourcesOf(synthesis, "aws_iam_user", "aws_iam_access_key").map((one) => at(one, "has keys that do not end")),
  ],
};

const openPrincipal: Forbidden = {
  name: "open-principal",
  why: "nobody is allowed anything who is not of this account",
  look: (synthesis) =>
    withPolicy(synthesis).flatMap((resource) =>
      statementsOf(resource.fields.policy).flatMap(({ Effect, Principal, Condition }) => {
        const anyone = Effect === "Allow" && JSON.stringify(Principal ?? null).includes('"*"');
        return anyone && !JSON.stringify(Condition ?? null).includes('"aws:PrincipalAccount"')
          ? [at(resource, "allows anyone something")]
          : [];
      }),
    ),
};

const confusedDeputy: Forbidden = {
  name: "confused-deputy",
  why: "AWS's services act for this account alone",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_iam_role"), ({ fields }) => {
      for (const { Principal, Condition } of statementsOf(fields.assume_role_policy)) {
        const principal = JSON.stringify(Principal ?? null);
        if (principal.includes('"*"')) return "is taken by anyone";
        if (!principal.includes("ec2.amazonaws.com") && !JSON.stringify(Condition ?? null).includes("aws:SourceAccount"))
          return "is taken by a service for whatever account";
      }
      return null;
    }),
};

/** Roots whose key the settings keep away from hosts. */
const rootReadable: Forbidden = {
  name: "root-key-readable",
  why: "a host reads the root's key, or signs with it, only while the settings say so (pki.rootAtHand)",
  look: (synthesis) => {
    const { pki } = synthesis.settings;
    if (pki.kind !== "own" && pki.rootAtHand) return [];
    return each(resourcesOf(synthesis, "aws_iam_role_policy"), ({ fields }) =>
      references(synthesis, fields.policy ?? null).some((reference) =>
        /^aws_(secretsmanager_secret\.root-secret|kms_key\.root-key)\./.test(reference),
      )
        ? "may use the root's key"
        : null,
    );
  },
};

const otherFolders: Forbidden = {
  name: "others-folder",
  why: "a host behind the gate has its own folder in the bucket alone, as that very instance, and writes requests, never certificates",
  look: (synthesis) =>
    each(
      resourcesOf(synthesis, "aws_iam_role_policy").filter(({ part }) => part === "restricted"),
      ({ id, fields }) => {
        const name = id.replace(/(-own)?-policy$/, "");
        const instance = ["$", `{aws_instance.${name}.id}`].join("");
        for (const { Action, Resource, Condition } of statementsOf(fields.policy)) {
          for (const resource of text(Resource)) {
            if (resource.includes("/hosts/") && !resource.includes(`/hosts/${name}/${instance}/`))
              return `reaches ${resource.slice(resource.indexOf("/hosts/"))}`;
            if (resource.includes("/hosts/") && !JSON.stringify(Condition ?? null).includes(`:${instance}"`))
              return "is for every instance that has the role";
            if (text(Action).includes("s3:PutObject") && !resource.endsWith(".csr")) return "writes more than requests";
          }
        }
        return null;
      },
    ),
};

export const ACCESS: readonly Forbidden[] = [wildcardIam, openPrincipal, confusedDeputy, rootReadable, otherFolders];
