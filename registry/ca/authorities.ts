import { existsSync } from "node:fs";
import { Problem } from "../../lib/problem.ts";
import { anchorOf } from "./anchor.ts";
import { type CaKind, type CaRole, issuedFacts, ROLES } from "./authority.ts";
import type { Issuer } from "./certificate.ts";
import { createDeviceCa, type DeviceCa } from "./device.ts";
import { fileOf, PkiError, readPem } from "./folder.ts";
import { type Cross, type Generation, makeGeneration, openCrosses, openGenerations, openRoot, removeGeneration } from "./generations.ts";
import { createInfrastructureCa, type InfrastructureCa, type InfrastructureGeneration } from "./infrastructure.ts";
import { issuerOf } from "./issuer-of.ts";
import { type RootCrl, readRootCrl } from "./root-crl.ts";
import type { CaService } from "./service.ts";
import { createServiceDeviceCa } from "./service-device.ts";
import { FILE_KEYS, type KeyStore, type Signer } from "./signer.ts";

/** A CA as CRLs and agents know it. */
export interface Authority {
  /** "device-1a2b3c4d". */
  readonly id: string;
  readonly kind: CaKind;
  readonly role: CaRole;
  /** Its common name: issuer of what it signed. */
  readonly name: string;
  /** Common name of the root that signed it: a root's own. */
  readonly signedBy: string;
  /** PEM. */
  readonly certificate: string;
  readonly notAfter: number;
  /** Null where its key is kept elsewhere: then its list is the one that came with it. */
  readonly issuer: Issuer | null;
  readonly kept: RootCrl | null;
  /** The CA itself where it is a service: it makes its list. */
  readonly service: CaService | null;
}

/** An infrastructure CA as a listener trusts it (InfrastructureCa.makeAnchor). */
export interface Anchor {
  readonly id: string;
  readonly pem: string;
}

/** Everything that Process signs with and tells of. Several generations of each kind may be there; one of each kind signs. */
export interface Authorities {
  /** The device CA that signs; null in a registry from before there was one: `init` makes it. */
  readonly device: DeviceCa | null;
  /** The infrastructure CA that signs at each moment, with the root that is to be pinned. */
  readonly infrastructure: InfrastructureCa;
  /** Roots first, then infrastructure CAs, then device CAs. */
  readonly all: readonly Authority[];
  readonly crosses: readonly Cross[];
  /** File of the root that is to be pinned. */
  readonly rootFile: string;
  /** Every infrastructure CA, the next one and retired ones too: their certificates are all taken. */
  anchors(): Promise<readonly Anchor[]>;
  /** From now on that generation signs; of roots, it is the one to pin. What is not there signs nothing. */
  activate(id: string): void;
  /** Makes the next generation, which signs nothing yet. @throws PkiError when the root's key is not there | KeyError | Problem rotation_running, signer_unavailable */
  makeNext(kind: CaKind, now: number): Promise<Authority>;
  /** Forgets a generation for ever, with its key. */
  remove(id: string): void;
  /** Calls `changed` after each change, until it is disposed of. */
  watch(changed: () => void): Disposable;
}

interface Opened {
  readonly generation: Generation;
  readonly authority: Authority;
  readonly device: DeviceCa | null;
  readonly infrastructure: InfrastructureGeneration | null;
}

/** Opens the CAs of the folder. Roots' keys are used where they are there. @throws PkiError | KeyError */
export function openAuthorities(folder: string, registerUrl: string, keys: KeyStore = FILE_KEYS): Authorities {
  return new FolderAuthorities(folder, registerUrl, keys);
}

class FolderAuthorities implements Authorities {
  readonly #folder: string;
  readonly #registerUrl: string;
  readonly #keys: KeyStore;
  readonly #known = new Map<string, Opened>();
  readonly #active = new Map<CaKind, string>();
  readonly #anchors = new Map<string, Promise<Anchor>>();
  readonly #watchers = new Set<() => void>();
  #crosses: readonly Cross[] = [];
  #making = false;
  readonly infrastructure: InfrastructureCa;

  constructor(folder: string, registerUrl: string, keys: KeyStore) {
    this.#folder = folder;
    this.#registerUrl = registerUrl;
    this.#keys = keys;
    for (const kind of ["root", "infrastructure", "device"] as const) {
      const generations = openGenerations(folder, kind, keys);
      for (const generation of generations) this.#add(generation);
      // Says what is wrong with the file that has to be there.
      if (generations.length === 0 && kind !== "device") readPem(fileOf(folder, kind, "crt"));
    }
    this.#lookForCrosses();
    this.infrastructure = this.#followingInfrastructure();
  }

  get device(): DeviceCa | null {
    return this.#signing("device")?.device ?? null;
  }

  get all(): readonly Authority[] {
    this.#lookForRootKeys();
    return (["root", "infrastructure", "device"] as const).flatMap((kind) => this.#of(kind).map(({ authority }) => authority));
  }

  get crosses(): readonly Cross[] {
    return this.#crosses;
  }

  get rootFile(): string {
    return fileOf(this.#folder, this.#root().generation.file, "crt");
  }

  anchors(): Promise<readonly Anchor[]> {
    return Promise.all(
      this.#of("infrastructure").map(({ generation, infrastructure }) => {
        if (infrastructure === null) throw new PkiError(`Cannot use ${generation.id} as an infrastructure CA`);
        return this.#anchors.get(generation.id) ?? this.#makeAnchor(generation, infrastructure);
      }),
    );
  }

  /** One that could not be made is made the next time that it is asked for. */
  #makeAnchor(generation: Generation, ca: InfrastructureGeneration): Promise<Anchor> {
    const { id } = generation;
    const made = anchorOf(this.#folder, generation, ca).then((pem) => ({ id, pem }));
    this.#anchors.set(id, made);
    made.catch(() => this.#anchors.delete(id));
    return made;
  }

  activate(id: string): void {
    const kind = this.#known.get(id)?.generation.kind;
    if (kind === undefined || this.#active.get(kind) === id) return;
    this.#active.set(kind, id);
    this.#changed();
  }

  async makeNext(kind: CaKind, now: number): Promise<Authority> {
    if (this.#making) throw new Problem(409, "rotation_running", "The next CA is being made at this moment: 'ca show' tells of it.");
    this.#making = true;
    try {
      this.#lookForRootKeys();
      const root = this.#root().generation;
      const { authority } = this.#add(await makeGeneration(this.#folder, kind, { root, now, keys: this.#keys }));
      this.#lookForCrosses();
      this.#changed();
      return authority;
    } finally {
      this.#making = false;
    }
  }

  remove(id: string): void {
    const generation = this.#known.get(id)?.generation;
    if (generation === undefined) return;
    this.#known.delete(id);
    this.#anchors.delete(id);
    if (this.#active.get(generation.kind) === id) this.#active.delete(generation.kind);
    removeGeneration(this.#folder, generation);
    this.#lookForCrosses();
    this.#changed();
  }

  watch(changed: () => void): Disposable {
    this.#watchers.add(changed);
    return { [Symbol.dispose]: () => void this.#watchers.delete(changed) };
  }

  #of(kind: CaKind): readonly Opened[] {
    return [...this.#known.values()].filter(({ generation }) => generation.kind === kind);
  }

  /** The one that Storage names; before it was asked, the first. */
  #signing(kind: CaKind): Opened | undefined {
    return this.#known.get(this.#active.get(kind) ?? "") ?? this.#of(kind)[0];
  }

  #root(): Opened {
    const root = this.#signing("root");
    if (root === undefined) throw new PkiError(`Cannot use ${this.#folder}: there is no root.`);
    return root;
  }

  /** The CA of the moment, for those who keep it for long. */
  #followingInfrastructure(): InfrastructureCa {
    const now = (): InfrastructureGeneration => {
      const ca = this.#signing("infrastructure")?.infrastructure;
      if (ca === null || ca === undefined) throw new PkiError(`Cannot use ${this.#folder}: there is no infrastructure CA.`);
      return ca;
    };
    const root = (): string => this.#root().authority.certificate;
    const crosses = (): readonly Cross[] => this.#crosses;
    return {
      get root() {
        return root();
      },
      get chain() {
        return [now().chain, ...crosses().map(({ certificate }) => certificate)].join("");
      },
      makeAnchor: () => now().makeAnchor(),
      issueServer: (...asked) => now().issueServer(...asked),
      issueAgent: (...asked) => now().issueAgent(...asked),
      issueOperator: (...asked) => now().issueOperator(...asked),
      issueMetrics: (...asked) => now().issueMetrics(...asked),
    };
  }

  #add(generation: Generation): Opened {
    const opened = open(this.#folder, generation, this.#registerUrl);
    this.#known.set(generation.id, opened);
    return opened;
  }

  /** A root's key is put there for a while and taken away again, also while this runs. */
  #lookForRootKeys(): void {
    for (const { generation } of this.#of("root")) {
      const isThere = existsSync(fileOf(this.#folder, generation.file, "key"));
      if (isThere !== (generation.signer !== null)) this.#add(openRoot(this.#folder, generation.file, this.#keys));
    }
  }

  #lookForCrosses(): void {
    this.#crosses = openCrosses(
      this.#folder,
      this.#of("root").map(({ generation }) => generation),
    );
  }

  #changed(): void {
    for (const changed of this.#watchers) changed();
  }
}

function open(folder: string, generation: Generation, registerUrl: string): Opened {
  const { id, kind, certificate, signer, file } = generation;
  const role = ROLES[kind];
  const { subject: name, issuer: signedBy, notAfter } = issuedFacts(certificate);
  const service = signer?.service ?? null;
  const issuer = signer === null || service !== null ? null : issuerOf(certificate, signer);
  const kept = kind === "root" ? readRootCrl(folder, file) : null;
  return {
    generation,
    authority: { id, kind, role, name, signedBy, certificate, notAfter, issuer, kept, service },
    device: kind === "device" && signer !== null ? deviceCa(certificate, signer, registerUrl) : null,
    infrastructure: kind === "infrastructure" && signer !== null ? createInfrastructureCa(certificate, signer) : null,
  };
}

const deviceCa = (certificate: string, signer: Signer, registerUrl: string): DeviceCa =>
  signer.service === null ? createDeviceCa(certificate, signer, registerUrl) : createServiceDeviceCa(certificate, signer.service);
