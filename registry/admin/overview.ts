import { setImmediate } from "node:timers/promises";
import type { AgentFeed, RegistryStatus } from "../../lib/admin/api.ts";
import { type RuleRow, readRules } from "../store/queries.ts";
import { all, type Builder, type Command, first, type Store } from "../store/store.ts";

/** Names and addresses in each list: one screen shows them. */
const MAX_NAMED = 10;
const MAX_LATEST = 5;
const RULES_PER_PAGE = 5_000;
/** Agents and Process have this long before it counts that they are behind. */
const PATIENCE_MS = 10_000;

type LiveFeed = AgentFeed & { readonly name: string };
type Head = Pick<RegistryStatus, "epoch" | "revision" | "digest">;

/** Rules by lane and family, counted page by page from one view with a pause between: a million of them hold nobody up. */
export async function countRules(store: Store): Promise<RegistryStatus["rulesBy"]> {
  await using view = await store.snapshot();
  const counted = new Map<string, { lane: RuleRow["lane"]; family: 4 | 6; rules: number }>();
  for (let after: RuleRow | null = null; ; ) {
    const from: RuleRow | null = after;
    const page: RuleRow[] = await view.read((db) => readRules(db, { after: from, limit: RULES_PER_PAGE }));
    for (const { lane, prefix } of page) {
      const family = prefix.includes(":") ? 6 : 4;
      const count = counted.get(`${lane} ${family}`) ?? { lane, family, rules: 0 };
      count.rules++;
      counted.set(`${lane} ${family}`, count);
    }
    after = page.at(-1) ?? null;
    if (page.length < RULES_PER_PAGE) break;
    await setImmediate();
  }
  return [...counted.values()].sort((a, b) => `${a.lane} ${a.family}`.localeCompare(`${b.lane} ${b.family}`));
}

/** What an operator looks for first, beside the numbers. */
export type Details = Pick<RegistryStatus, "codes" | "waitingSince" | "behind" | "silent" | "crowded" | "latest">;

export function* details(db: Builder, feeds: readonly LiveFeed[], head: Head, now: number): Command<Details> {
  const enrolled = yield* all(db.selectFrom("agents").select("name").where("revoked_at", "is", null).orderBy("name"));
  const live = new Map(feeds.map((feed) => [feed.name, feed]));
  const silent = enrolled.filter(({ name }) => !live.has(name)).map(({ name }) => name);
  const changed = yield* first(db.selectFrom("changes").select("at").where("revision", "=", head.revision));
  const due = changed !== undefined && now - changed.at > PATIENCE_MS;
  const behind = feeds.filter((feed) => due && now - feed.connectedAt > PATIENCE_MS && !isAt(feed, head)).map(({ name }) => name);
  const waiting = yield* first(db.selectFrom("inbox").select("received_at").orderBy("submission").limit(1));
  const crowded = yield* all(db.selectFrom("crowded").select(["lane", "prefix", "since"]).orderBy("since", "desc").limit(MAX_NAMED));
  return {
    codes: yield* countCodes(db, now),
    waitingSince: waiting?.received_at ?? null,
    behind: named(behind),
    silent: named(silent),
    crowded,
    latest: yield* latest(db),
  };
}

const isAt = (feed: LiveFeed, head: Head): boolean =>
  feed.epoch === head.epoch && feed.revision === head.revision && feed.digest === head.digest;
const named = (names: readonly string[]): RegistryStatus["behind"] => ({
  agents: names.length,
  names: [...names].sort().slice(0, MAX_NAMED),
});

function* countCodes(db: Builder, now: number): Command<RegistryStatus["codes"]> {
  const made = yield* first(db.selectFrom("codes").select((eb) => eb.fn.countAll<number>().as("n")));
  const usable = yield* first(
    db
      .selectFrom("codes")
      .select((eb) => eb.fn.countAll<number>().as("n"))
      .where("withdrawn_at", "is", null)
      .where("expires_at", ">", now)
      .whereRef("used", "<", "uses"),
  );
  return { made: Number(made?.n ?? 0), usable: Number(usable?.n ?? 0) };
}

function* latest(db: Builder): Command<RegistryStatus["latest"]> {
  const rows = yield* all(
    db
      .selectFrom("outcomes")
      .innerJoin("submissions", "submissions.id", "outcomes.submission")
      .select(["outcomes.at", "signer", "action", "status", "device", "body"])
      .orderBy("outcomes.submission", "desc")
      .limit(MAX_LATEST),
  );
  return rows.map(({ at, signer, action, status, device, body }) => ({
    at,
    signer,
    action,
    device,
    refused: status >= 400 ? codeOf(body) : null,
  }));
}

function codeOf(body: string): string {
  const { code } = JSON.parse(body) as { readonly code?: unknown };
  return typeof code === "string" ? code : "refused";
}

const many = (number: number, one: string, more: string): string => `${number} ${number === 1 ? one : more}`;

/** All that is not well, in words; none when all is. */
export function alarmsOf(status: Omit<RegistryStatus, "alarms">, now: number): RegistryStatus["alarms"] {
  const { agents, behind, silent, waitingSince, crowded } = status;
  const list = ({ agents, names }: RegistryStatus["behind"]): string => names.join(", ") + (agents > names.length ? ", …" : "");
  const alarms: (readonly [code: string, text: string, is: boolean])[] = [
    [
      "agents_ahead",
      `${many(agents.ahead, "agent holds", "agents hold")} more than Storage: see 'entityos epoch begin --help'`,
      agents.ahead > 0,
    ],
    [
      "duplicate_agent",
      `${many(agents.duplicates, "feed", "feeds")} taken over by a second program of the same name`,
      agents.duplicates > 0,
    ],
    ["agents_silent", `${many(silent.agents, "agent has", "agents have")} no feed: ${list(silent)}`, silent.agents > 0],
    ["agents_behind", `${many(behind.agents, "agent is", "agents are")} behind: ${list(behind)}`, behind.agents > 0],
    [
      "process_behind",
      `${many(status.inbox, "submission waits", "submissions wait")}, the oldest for ${Math.round((now - (waitingSince ?? now)) / 1_000)} s`,
      waitingSince !== null && now - waitingSince > PATIENCE_MS,
    ],
    ["crowded_address", `many devices come from one address: ${crowded.map(({ prefix }) => prefix).join(", ")}`, crowded.length > 0],
  ];
  return alarms.filter(([, , is]) => is).map(([code, text]) => ({ code, text }));
}
