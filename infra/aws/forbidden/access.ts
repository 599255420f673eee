import { isDeepStrictEqual } from "node:util";
import { type Json, list, type Resource, references, resourcesOf, type Synthesis } from "../synthesis.ts";
import { ref } from "./cast/member.ts";
import { type Grant, grantsFor } from "./grants.ts";
import { meaning } from "./meaning.ts";
import { policiesOf, readPolicy, type Said, statementsOf } from "./policy.ts";
import { at, each, type Forbidden } from "./rule.ts";

const text = (value: Json | undefined): string[] => list(value).map(String);

/** What is wrong with each policy, told with the resource that has it. */
const eachPolicy = (synthesis: Synthesis, wrong: (policy: Json, resource: Resource, field: string) => readonly string[]): string[] =>
  resourcesOf(synthesis).flatMap((resource) =>
    policiesOf(resource).flatMap(([field, policy]) => wrong(policy, resource, field).map((what) => at(resource, what))),
  );

const opaquePolicy: Forbidden = {
  name: "opaque-policy",
  why: "policies are written out as JSON, with no element that says all but something: these rules read every one",
  look: (synthesis) =>
    eachPolicy(synthesis, (policy, _, field) => {
      const read = readPolicy(policy);
      return typeof read === "string" ? [`${field} ${read}`] : [];
    }),
};

const notGranted: Forbidden = {
  name: "not-granted",
  why: "who is allowed what is a closed list: principals of this account and AWS's services for it, actions, resources, conditions",
  look: (synthesis) =>
    eachPolicy(synthesis, (policy, resource, field) => {
      const grants = grantsFor(synthesis.settings, resource, field);
      const said = statementsOf(policy).map((one) => inFull(synthesis, resource, one));
      return said.filter((one) => !grants.some((grant) => covers(grant, one))).map(told);
    }),
};

const inFull = (synthesis: Synthesis, { part }: Resource, said: Said): Said =>
  JSON.parse(meaning(synthesis, part, JSON.stringify(said))) as Said;

const covers = ({ effect = "Allow", principal, actions, resources, condition }: Grant, said: Said): boolean =>
  said.Effect === effect &&
  isDeepStrictEqual(said.Principal, principal) &&
  isDeepStrictEqual(said.Condition, condition) &&
  text(said.Action).length > 0 &&
  text(said.Action).every((action) => actions.includes(action)) &&
  (resources === undefined) === (said.Resource === undefined) &&
  text(said.Resource).every((resource) => resources?.includes(resource));

function told({ Effect, Principal, Action, Resource, Condition }: Said): string {
  const who = Principal === undefined ? "" : ` to ${JSON.stringify(Principal)}`;
  const on = Resource === undefined ? "" : ` on ${text(Resource).join(", ")}`;
  const when = Condition === undefined ? "" : ` if ${JSON.stringify(Condition)}`;
  return `${Effect === "Allow" ? "allows" : Effect === "Deny" ? "denies" : "says"} ${text(Action).join(", ")}${on}${who}${when}`;
}

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
        const instance = ref(`aws_instance.${name}.id`);
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

export const ACCESS: readonly Forbidden[] = [opaquePolicy, notGranted, rootReadable, otherFolders];
