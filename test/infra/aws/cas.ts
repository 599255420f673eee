import { opensslFolder } from "../../registry/ca/openssl.ts";

/** Without key identifiers, two CAs of one name are told apart by their keys alone. */
const CONFIG = `[req]
distinguished_name=dn
[dn]
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=none
authorityKeyIdentifier=none
[leaf]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
[half]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
`;

/** CAs as openssl makes them, PEM, by name. */
export interface Cas {
  /** One that is signed by its own key. @param of section of the extensions: ca, leaf, half @param key arguments of `openssl genpkey` */
  self(name: string, more?: { of?: string; key?: readonly string[]; times?: readonly string[] }): string;
  /** One that another one signs, which was made before. */
  below(name: string, issuer: string): string;
}

const P256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const LONG = ["-days", "3650"];

/** Gives openssl's CAs to what asks for them; its folder is gone afterwards. */
export function withCas<T>(use: (cas: Cas) => T): T {
  using folder = opensslFolder();
  folder.write("ca.cnf", CONFIG);
  const subject = (name: string) => ["-config", "ca.cnf", "-subj", `/O=Example/CN=Example ${name}`];
  return use({
    self(name, { of = "ca", key = P256, times = LONG } = {}) {
      folder.run("genpkey", ...key, "-out", `${name}.key`);
      folder.run("req", "-new", "-key", `${name}.key`, ...subject(name), "-out", `${name}.csr`);
      const extensions = ["-extfile", "ca.cnf", "-extensions", of, ...times, "-out", `${name}.crt`];
      folder.run("x509", "-req", "-in", `${name}.csr`, "-signkey", `${name}.key`, ...extensions);
      return folder.run("x509", "-in", `${name}.crt`).toString();
    },
    below(name, issuer) {
      folder.run("genpkey", ...P256, "-out", `${name}.key`);
      folder.run("req", "-new", "-key", `${name}.key`, ...subject(name), "-out", `${name}.csr`);
      const by = ["-CA", `${issuer}.crt`, "-CAkey", `${issuer}.key`, "-CAcreateserial"];
      folder.run("x509", "-req", "-in", `${name}.csr`, ...by, "-extfile", "ca.cnf", "-extensions", "ca", ...LONG, "-out", `${name}.crt`);
      return folder.run("x509", "-in", `${name}.crt`).toString();
    },
  });
}
