import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** CAs made by openssl, each with its key in a folder of the test's own. */
export class Cas implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "eos-cas-"));

  /** A key and its self-signed certificate, as PEM. */
  root(name: string, more: readonly string[] = ["-addext", "keyUsage=critical,keyCertSign"]): string {
    this.#openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", this.#file(name, "key"));
    this.#openssl(
      "req",
      "-x509",
      "-new",
      "-key",
      this.#file(name, "key"),
      "-subj",
      `/CN=${name}`,
      "-days",
      "30",
      ...more,
      "-out",
      this.#file(name, "crt"),
    );
    return this.pem(name);
  }

  /** A certificate for the key of `name` (made when it is not there) by `parent`; as PEM. */
  signed(name: string, parent: string, { ca = true, days = 30 } = {}): string {
    if (this.#missing(name)) this.root(name);
    const [csr, extensions] = [this.#file(name, "csr"), this.#file(name, "ext")];
    this.#openssl("req", "-new", "-key", this.#file(name, "key"), "-subj", `/CN=${name}`, "-out", csr);
    execFileSync("sh", ["-c", `echo basicConstraints=critical,CA:${ca ? "TRUE" : "FALSE"} > ${extensions}`]);
    const by = ["-CA", this.#file(parent, "crt"), "-CAkey", this.#file(parent, "key"), "-CAcreateserial", "-extfile", extensions];
    const out = this.#file(`${name}-by-${parent}`, "crt");
    this.#openssl("x509", "-req", "-in", csr, "-days", String(days), ...by, "-out", out);
    return readFileSync(out, "utf8");
  }

  pem(name: string): string {
    return readFileSync(this.#file(name, "crt"), "utf8");
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  #file = (name: string, kind: string): string => join(this.#folder, `${name}.${kind}`);

  #missing(name: string): boolean {
    try {
      readFileSync(this.#file(name, "key"));
      return false;
    } catch {
      return true;
    }
  }

  #openssl(...words: string[]): void {
    execFileSync("openssl", words, { stdio: "pipe" });
  }
}
