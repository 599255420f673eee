import { fromInstanceMetadata } from "@smithy/credential-provider-imds";
import type { Clock } from "../../../lib/clock.ts";

/** What requests to AWS are signed with. Never logged, never part of a message. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
  /** Integer milliseconds; Infinity for those that do not end. */
  readonly endsAt: number;
}

/** Asked for each request; gives the same until they are near their end. @throws AwsError */
export interface CredentialSource {
  current(): Promise<Credentials>;
  /** These were refused as over: others are looked for the next time. */
  refused(credentials: Credentials): void;
}

/** New ones are looked for this long before the end; an instance profile has them an hour before. */
export const RENEW_BEFORE_MS = 5 * 60_000;
/** Of each question to the instance metadata service, and how often it is asked again. */
const IMDS_TIMEOUT_MS = 1_000;
const IMDS_RETRIES = 2;

/**
 * From the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) where it has them, else of the instance profile,
 * by IMDSv2 alone: version 1 answers whoever gets this process to fetch a URL.
 */
export function createCredentials(environment: Readonly<Record<string, string | undefined>>, clock: Clock): CredentialSource {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = environment;
  if (accessKeyId !== undefined && accessKeyId !== "" && secretAccessKey !== undefined && secretAccessKey !== "") {
    const fixed = { accessKeyId, secretAccessKey, sessionToken: sessionToken === "" ? undefined : sessionToken, endsAt: Infinity };
    return { current: async () => fixed, refused: () => {} };
  }
  return new InstanceProfile(clock);
}

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, trace: () => {} };

class InstanceProfile implements CredentialSource {
  readonly #clock: Clock;
  #held: Credentials | null = null;
  #asking: Promise<Credentials> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async current(): Promise<Credentials> {
    const held = this.#held;
    const now = this.#clock.now();
    if (held !== null && now < held.endsAt - RENEW_BEFORE_MS) return held;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    try {
      return await this.#asking;
    } catch (error) {
      // The metadata service may be slow to rotate: what still counts is used meanwhile.
      if (held !== null && now < held.endsAt) return held;
      throw error;
    }
  }

  refused(credentials: Credentials): void {
    if (this.#held === credentials) this.#held = null;
  }

  /** A provider of its own each time: one that was ever refused a token would ask by version 1 for ever, and so fail for ever. */
  async #ask(): Promise<Credentials> {
    const ask = fromInstanceMetadata({ timeout: IMDS_TIMEOUT_MS, maxRetries: IMDS_RETRIES, ec2MetadataV1Disabled: true, logger: quiet });
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await ask();
    this.#held = { accessKeyId, secretAccessKey, sessionToken, endsAt: expiration?.getTime() ?? Infinity };
    return this.#held;
  }
}
