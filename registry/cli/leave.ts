import { randomBytes } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { parseCommandLine } from "./command.ts";
import { printJson } from "./control.ts";
import { defaultStateFolder, readDeviceKey, readState, removeState } from "./device-state.ts";
import type { Question } from "./http.ts";
import type { Io } from "./io.ts";
import { proofHeaders } from "./proof-headers.ts";
import { submit } from "./submit.ts";
import { tlsEndpoint } from "./tls.ts";

export const help = `Ends this device: its access everywhere, and its key and state here

Usage: entityos leave

The files go once the registry has said that the device is out. When that is not known, run it again: leaving twice is leaving once.

Options
  --url URL         the registry's address, when it moved
  --ca FILE         the root it is trusted by, when it moved
  --state DIR       folder of the enrolled device (default ${defaultStateFolder()})
  --json            prints JSON

Examples
  entityos leave
  entityos leave --state ~/.local/state/entityos --json
`;

const OPTIONS = {
  url: { type: "string" },
  ca: { type: "string" },
  state: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  const folder = values.state ?? defaultStateFolder();
  const { registry, device, registration, url, ca } = readState(folder);
  const signing = { signer: `device:${device}`, key: readDeviceKey(folder), registry };
  const endpoint = tlsEndpoint(values.url ?? url, { ca: values.ca ?? ca ?? undefined }, "url");
  const idempotencyKey = randomBytes(16).toString("base64url");
  const make = (now: number): Question => ({
    method: "DELETE",
    path: `/v1/registrations/${registration}`,
    headers: { ...proofHeaders("leave", signing, now), "idempotency-key": idempotencyKey },
  });
  const ended = await submit({ endpoint, first: make(io.now()), make, signing, io }).then(
    () => "left" as const,
    (error: unknown) => {
      if (error instanceof Problem && error.code === "device_revoked") return "revoked" as const;
      throw error;
    },
  );
  removeState(folder);
  if (values.json) return printJson(io, { device, ended });
  io.out(ended === "left" ? `left: ${device}\n` : `revoked before: ${device}\n`);
}
