import { X509Certificate } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { CA_LIFE_MS, type Issued, issue, makeIntermediate, pemOf } from "./authority.ts";
import { type CertificateTemplate, type Issuer, issueCertificate } from "./certificate.ts";
import type { CertificateRequest } from "./csr.ts";
import { serverName } from "./extensions.ts";
import { issuerOf } from "./issuer-of.ts";
import type { Signer } from "./signer.ts";

const DAY_MS = 24 * 60 * 60_000;

/** How long each kind of certificate lasts. The clocks of servers are ours, and `serve` renews theirs at each start. */
export const LIFE_MS = {
  root: CA_LIFE_MS.root,
  infrastructure: CA_LIFE_MS.intermediate,
  server: 365 * DAY_MS,
  agent: 90 * DAY_MS,
  operator: 365 * DAY_MS,
  metrics: 365 * DAY_MS,
} as const;

/** One generation of the CA for servers, agents and operators. */
export interface InfrastructureGeneration {
  /** PEM of what goes behind each of its certificates: its own, and where there are several roots, what ties them together. */
  readonly chain: string;
  /**
   * The same CA, name and key, as a self-signed certificate: an anchor for those who are to trust this CA and no other one below the
   * root. Node's TLS servers take no intermediate as an anchor (tls.Server drops `allowPartialTrustChain`, Node 24.20).
   */
  makeAnchor(): Promise<string>;
  /**
   * @param urn what the server is, where those who connect ask for more than its name
   * @throws Problem server_name for what is neither a host name nor an address
   */
  issueServer(request: CertificateRequest, names: readonly string[], now: number, urn?: string): Promise<Issued>;
  issueAgent(request: CertificateRequest, name: string, now: number): Promise<Issued>;
  issueOperator(request: CertificateRequest, name: string, now: number): Promise<Issued>;
  /** For what reads metrics and may do nothing else. */
  issueMetrics(request: CertificateRequest, name: string, now: number): Promise<Issued>;
}

/** The CA for servers, agents and operators. Every subject and name comes from the caller, none from the request. */
export interface InfrastructureCa extends InfrastructureGeneration {
  /** PEM of the root, which agents and devices pin. */
  readonly root: string;
}

/** The infrastructure CA's certificate, signed by the root, for 10 years: PEM. */
export const makeInfrastructure = (root: Issuer, signer: Signer, now: number): Promise<string> =>
  makeIntermediate("infrastructure CA", root, signer, now);

/** @param certificate in PEM, @param signer with its key */
export function createInfrastructureCa(certificate: string, signer: Signer): InfrastructureGeneration {
  const issuer = issuerOf(certificate, signer);
  const own = new X509Certificate(certificate);
  const [begin, end] = [Date.parse(own.validFrom), Date.parse(own.validTo)];

  const sign = (subject: string, template: Omit<CertificateTemplate, "pathLength" | "notAfter">, lifeMs: number): Promise<Issued> =>
    issue(issuer, subject, template, { lifeMs, end });

  function client(kind: "agent" | "operator" | "metrics", request: CertificateRequest, name: string, now: number): Promise<Issued> {
    const urn = URN[kind] + name;
    const template = { subject: name, spki: request.spki, now, names: [{ kind: "uri", value: urn }], uses: ["clientAuth"] } as const;
    return sign(urn, template, LIFE_MS[kind]);
  }

  return {
    chain: certificate,
    makeAnchor: async () =>
      pemOf(
        await issueCertificate(issuer, {
          of: issuer,
          subject: issuer.name,
          spki: signer.spki,
          now: begin,
          notAfter: end,
          names: [],
          uses: [],
          pathLength: 0,
        }),
      ),
    issueServer: async (request, names, now, urn) => {
      const alternatives = names.map((name) => serverName(name) ?? refuseName(name));
      const [first] = names;
      if (first === undefined) throw new Problem(422, "server_name", "A server certificate needs at least one name or address.");
      const all = urn === undefined ? alternatives : [...alternatives, { kind: "uri", value: urn } as const];
      return sign(first, { subject: first, spki: request.spki, now, names: all, uses: ["serverAuth"] }, LIFE_MS.server);
    },
    issueAgent: (request, name, now) => client("agent", request, name, now),
    issueOperator: (request, name, now) => client("operator", request, name, now),
    issueMetrics: (request, name, now) => client("metrics", request, name, now),
  };
}

function refuseName(name: string): never {
  throw new Problem(
    422,
    "server_name",
    `Cannot make a server certificate for '${name.slice(0, 100)}': it is neither a host name nor an address.`,
  );
}
