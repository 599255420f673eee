import { hash, X509Certificate } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { type Certificate, type CertificateTemplate, createIssuer, issueCertificate } from "./certificate.ts";
import type { CertificateRequest } from "./csr.ts";
import { readPublicKey, serverName } from "./extensions.ts";
import { encodePem } from "./pem.ts";
import type { Signer } from "./signer.ts";

const DAY_MS = 24 * 60 * 60_000;

/** How long each kind of certificate lasts. The clocks of servers are ours, and `serve` renews theirs at each start. */
export const LIFE_MS = {
  root: 20 * 365 * DAY_MS,
  infrastructure: 10 * 365 * DAY_MS,
  server: 365 * DAY_MS,
  agent: 90 * DAY_MS,
  operator: 365 * DAY_MS,
} as const;

/** A certificate that was made, with the facts that Storage keeps of it. Times are integer milliseconds. */
export interface Issued {
  readonly pem: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Common name of the CA. */
  readonly issuer: string;
  /** `urn:entityos:agent:NAME` and the like, or a server's first name. */
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The CA for servers, agents and operators. Every subject and name comes from the caller, none from the request. */
export interface InfrastructureCa {
  /** PEM of the root, which agents and devices pin. */
  readonly root: string;
  /** PEM of this CA's own certificate: the chain that goes behind each of its certificates. */
  readonly chain: string;
  /**
   * The same CA, name and key, as a self-signed certificate: an anchor for those who are to trust this CA and no other one below the
   * root. Node's TLS servers take no intermediate as an anchor (tls.Server drops `allowPartialTrustChain`, Node 24.20).
   */
  makeAnchor(): Promise<string>;
  /** @throws Problem server_name for what is neither a host name nor an address */
  issueServer(request: CertificateRequest, names: readonly string[], now: number): Promise<Issued>;
  issueAgent(request: CertificateRequest, name: string, now: number): Promise<Issued>;
  issueOperator(request: CertificateRequest, name: string, now: number): Promise<Issued>;
}

/** Self-signed root for 20 years: PEM. No limit on its path, so that the next root can be cross-signed by it. */
export async function makeRoot(signer: Signer, now: number): Promise<string> {
  const name = nameOf("root", signer);
  const template = { subject: name, spki: signer.spki, now, notAfter: now + LIFE_MS.root, names: [], uses: [], pathLength: null };
  return pemOf(await issueCertificate(createIssuer(name, signer), template));
}

/** The infrastructure CA's certificate, signed by the root, for 10 years: PEM. */
export async function makeInfrastructure(rootSigner: Signer, signer: Signer, now: number): Promise<string> {
  const root = createIssuer(nameOf("root", rootSigner), rootSigner);
  const subject = nameOf("infrastructure CA", signer);
  const notAfter = now + LIFE_MS.infrastructure;
  return pemOf(await issueCertificate(root, { subject, spki: signer.spki, now, notAfter, names: [], uses: [], pathLength: 0 }));
}

/** The CA at work. @param root and @param certificate in PEM, @param signer with the key of `certificate` */
export function createInfrastructureCa(root: string, certificate: string, signer: Signer): InfrastructureCa {
  const issuer = createIssuer(nameOf("infrastructure CA", signer), signer);
  const own = new X509Certificate(certificate);
  const [begin, end] = [Date.parse(own.validFrom), Date.parse(own.validTo)];

  async function issue(subject: string, template: Omit<CertificateTemplate, "pathLength" | "notAfter">, lifeMs: number): Promise<Issued> {
    // What outlives its issuer would end with it anyway, only without saying so.
    const notAfter = Math.min(template.now + lifeMs, end);
    const { der, ...facts } = await issueCertificate(issuer, { ...template, notAfter, pathLength: undefined });
    return { pem: encodePem("CERTIFICATE", der), fingerprint: hash("sha256", der), issuer: issuer.name, subject, ...facts };
  }

  function client(kind: "agent" | "operator", request: CertificateRequest, name: string, now: number): Promise<Issued> {
    const urn = URN[kind] + name;
    const template = { subject: name, spki: request.spki, now, names: [{ kind: "uri", value: urn }], uses: ["clientAuth"] } as const;
    return issue(urn, template, LIFE_MS[kind]);
  }

  return {
    root,
    chain: certificate,
    makeAnchor: async () =>
      pemOf(
        await issueCertificate(issuer, {
          subject: issuer.name,
          spki: signer.spki,
          now: begin,
          notAfter: end,
          names: [],
          uses: [],
          pathLength: 0,
        }),
      ),
    issueServer: async (request, names, now) => {
      const alternatives = names.map((name) => serverName(name) ?? refuseName(name));
      const [first] = names;
      if (first === undefined) throw new Problem(422, "server_name", "A server certificate needs at least one name or address.");
      return issue(first, { subject: first, spki: request.spki, now, names: alternatives, uses: ["serverAuth"] }, LIFE_MS.server);
    },
    issueAgent: (request, name, now) => client("agent", request, name, now),
    issueOperator: (request, name, now) => client("operator", request, name, now),
  };
}

/** Unlike for every key, so that no two generations of a CA are mistaken for each other by name. */
const nameOf = (role: string, signer: Signer): string => `entityOS ${role} ${readPublicKey(signer.spki).keyId.toString("hex").slice(0, 8)}`;

const pemOf = ({ der }: Certificate): string => encodePem("CERTIFICATE", der);

function refuseName(name: string): never {
  throw new Problem(
    422,
    "server_name",
    `Cannot make a server certificate for '${name.slice(0, 100)}': it is neither a host name nor an address.`,
  );
}
