import { hash, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import type { Caller } from "./identity.ts";

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);
/** 32 MiB and about 100 ms for each guess. */
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 << 20 };
const KEY_BYTES = 32;
/** Passwords that are worked on at a time. */
const MAX_AT_WORK = 2;
/** Guesses of one device in a window, which begins with its first one: never a lock on a name, which would keep its owner out. A full memory refuses. */
const MAX_GUESSES = 10;
const WINDOW_MS = 60_000;
const MAX_GUESSERS = 10_000;
const MAX_SESSIONS = 10_000;
const SESSION_MS = 8 * 3_600_000;

/** "salt:key" of a password. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  return `${salt.toString("hex")}:${(await derive(password, salt, KEY_BYTES, COST)).toString("hex")}`;
}

export const NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** The persons that may log in, and who is logged in. A session is its device's: a stolen cookie alone opens nothing. */
export class People {
  readonly #hashes: ReadonlyMap<string, string>;
  readonly #sessions = new Map<string, { readonly person: string; readonly bound: string; readonly until: number }>();
  /** In the order in which their windows end. */
  readonly #guesses = new Map<string, { readonly made: number; readonly until: number }>();
  #atWork = 0;

  /** @param hashes by name, as {@link hashPassword} writes them */
  constructor(hashes: Readonly<Record<string, string>>) {
    this.#hashes = new Map(Object.entries(hashes));
  }

  /** Set-Cookie of a new session, null when it was not the password, "later" when too many were tried. */
  async login(caller: Caller, person: string, password: string): Promise<string | null | "later"> {
    if (this.#atWork >= MAX_AT_WORK || !this.#mayGuess(bound(caller))) return "later";
    this.#atWork++;
    try {
      // An unknown name costs the same work as a known one.
      const [salt = "", key = ""] = (this.#hashes.get(person) ?? `00:${"00".repeat(KEY_BYTES)}`).split(":");
      const derived = await derive(password, Buffer.from(salt, "hex"), KEY_BYTES, COST);
      if (!timingSafeEqual(derived, Buffer.from(key, "hex")) || !this.#hashes.has(person)) return null;
    } finally {
      this.#atWork--;
    }
    const token = randomBytes(32).toString("base64url");
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    this.#sessions.set(hash("sha256", token), { person, bound: bound(caller), until: Date.now() + SESSION_MS });
    return `__Host-session=${token}; Path=/; Max-Age=${SESSION_MS / 1_000}; Secure; HttpOnly; SameSite=Strict`;
  }

  /** Who is logged in with this cookie, from this device. Looked up by digest, so that time tells nothing of a token. */
  personOf(caller: Caller, cookies = ""): string | null {
    const session = this.#sessions.get(digestOf(cookies));
    if (session === undefined || session.bound !== bound(caller) || session.until < Date.now()) return null;
    return session.person;
  }

  /** Set-Cookie that ends it on the other side too. */
  logout(cookies = ""): string {
    this.#sessions.delete(digestOf(cookies));
    return `__Host-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict`;
  }

  #mayGuess(who: string): boolean {
    const now = Date.now();
    for (const [guesser, { until }] of this.#guesses) {
      if (until > now) break;
      this.#guesses.delete(guesser);
    }
    const { made, until } = this.#guesses.get(who) ?? { made: 0, until: now + WINDOW_MS };
    if (made >= MAX_GUESSES || (made === 0 && this.#guesses.size >= MAX_GUESSERS)) return false;
    this.#guesses.set(who, { made: made + 1, until });
    return true;
  }
}

const bound = ({ device, source }: Caller): string => device ?? source;
const digestOf = (cookies: string): string => hash("sha256", /(?:^|; )__Host-session=([\w-]{43})(?:;|$)/.exec(cookies)?.[1] ?? "");
