/** A Debian package in the bucket's folder packages/. */
export interface DebianPackage {
  /** "entityos-agent_0.1.0_all.deb". */
  readonly file: string;
  /** Of its bytes, lower-case hex, or what Terraform puts it in the place of. */
  readonly sha256: string;
}

/** A file that the machine gets as it is. No secret: whoever may describe the instance reads it. */
export interface BootFile {
  readonly path: string;
  readonly mode: "0644" | "0755";
  readonly text: string;
}

/** A private key that the machine reads from Secrets Manager, named by its ARN, into pki/NAME.key. */
export interface BootKey {
  readonly name: "infrastructure" | "device";
  readonly secret: string;
}

/** The root's key in Secrets Manager, which no disk of the machine ever holds. */
export interface BootRootKey {
  /** Its ARN. */
  readonly secret: string;
  /** Whether the first boot signs with it. Later an operator does, while the settings let the machine read it (entityos-root-key). */
  readonly atHand: boolean;
}

/** What a machine is to be. */
export type BootRole =
  | { readonly kind: "agent" }
  | {
      readonly kind: "registry";
      /** Block device of what the registry keeps, made a file system only when it has none; null keeps it on the root disk. */
      readonly volume: string | null;
      /** Where Secrets Manager answers: "https://secretsmanager.eu-west-1.amazonaws.com". */
      readonly secrets: string;
      /** CA certificates, PEM, by name: pki/NAME.crt. */
      readonly certificates: Readonly<Record<string, string>>;
      readonly keys: readonly BootKey[];
      /** Null where it is elsewhere. */
      readonly rootKey: BootRootKey | null;
      /** Whether the registry itself asks AWS for signatures, as the instance. */
      readonly signsAtAws: boolean;
    };

/** Everything that the first boot of a machine depends on. */
export interface UserDataInput {
  /** The host's name, as an agent is called: its folder in the bucket is hosts/NAME. */
  readonly name: string;
  readonly region: string;
  /** Where the bucket answers, without a slash at the end: "https://BUCKET.s3.eu-west-1.amazonaws.com". */
  readonly bucket: string;
  /** Where the machine asks who it is, by an IPv4 address: EC2's own, or another one in a test. */
  readonly metadata: string;
  readonly packages: readonly DebianPackage[];
  /** Packages of Debian's own. */
  readonly debian: readonly string[];
  readonly files: readonly BootFile[];
  readonly role: BootRole;
}

/** Nothing in it that a shell could take for more than a word, but a reference that Terraform puts a text in the place of. */
const WORD = /^(?:[\w.:/+@-]|\$\{[^}\n]*\})+$/;

/** A text that is one word in the shell. @throws RangeError */
export function word(text: string): string {
  if (!WORD.test(text)) throw new RangeError(`Cannot put ${JSON.stringify(text)} into a script: it is not one word`);
  return text;
}
