import { join } from "node:path";
import { type MapEntry, mapText } from "./entries.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { type Master, MasterError } from "./master.ts";

/** Characters of one command: HAProxy takes less than its buffer of 16 kB. */
const PAYLOAD_CHARACTERS = 8_192;
const ABSENT_ENTRY = /not found/i;

/** Maps in the memory of one worker (management.txt: add map, set map, del map, show map). */
export class WorkerMaps {
  readonly #master: Master;
  readonly #folder: string;
  /** A worker has the generation that it began with until it ends. */
  readonly #layouts = new Map<number, Layout>();

  /** @param folder where the generations are */
  constructor(master: Master, folder: string) {
    this.#master = master;
    this.#folder = folder;
  }

  /** The generation that a worker serves. @throws MasterError when it serves none of ours */
  async layout(worker: number, signal: AbortSignal): Promise<Layout> {
    const known = this.#layouts.get(worker);
    if (known !== undefined) return known;
    const answer = await this.#master.command("show map", { signal, worker });
    const name = [...answer.matchAll(/\((\S+)\/(generation-\d+)\/certificates\.map\)/g)].find(([, folder]) => folder === this.#folder)?.[2];
    if (name === undefined) throw new MasterError("failed", `HAProxy's worker ${worker} serves another configuration than the agent's`);
    const layout = layoutOf(join(this.#folder, name), "haproxy");
    this.#layouts.set(worker, layout);
    return layout;
  }

  /** Forgets workers that have ended. */
  keep(workers: readonly number[]): void {
    for (const worker of this.#layouts.keys()) if (!workers.includes(worker)) this.#layouts.delete(worker);
  }

  /** @param file or a version of it that is not in use yet: {@link replace} */
  async add(worker: number, file: string, entries: Iterable<MapEntry>, signal: AbortSignal): Promise<void> {
    let lines: string[] = [];
    let characters = 0;
    const flush = async () => {
      if (lines.length > 0) this.#done(await this.#master.command(`add map ${file}`, { signal, worker }, lines));
      lines = [];
      characters = 0;
    };
    for (const entry of entries) {
      const line = mapText(entry);
      if (characters + line.length > PAYLOAD_CHARACTERS) await flush();
      lines.push(line);
      characters += line.length + 1;
    }
    await flush();
  }

  /** Gives a key its value, whether it was there or not, without a moment in which it is not. */
  async set(worker: number, file: string, entry: MapEntry, signal: AbortSignal): Promise<void> {
    const answer = await this.#master.command(`set map ${file} ${mapText(entry)}`, { signal, worker });
    if (ABSENT_ENTRY.test(answer)) await this.add(worker, file, [entry], signal);
    else this.#done(answer);
  }

  async remove(worker: number, file: string, key: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#master.command(`del map ${file} ${key}`, { signal, worker });
    if (!ABSENT_ENTRY.test(answer)) this.#done(answer);
  }

  /**
   * Puts these entries in the place of all that a map holds, in one step (prepare map, commit map). Where this fails the map is to be
   * replaced again before anything is set: `set map` takes a key for there that waits to be put in force, and says that all is well.
   */
  async replace(worker: number, file: string, entries: Iterable<MapEntry>, signal: AbortSignal): Promise<void> {
    const answer = await this.#master.command(`prepare map ${file}`, { signal, worker });
    const version = /^New version created: (\d+)$/m.exec(answer)?.[1];
    if (version === undefined) return this.#done(answer);
    await this.add(worker, `@${version} ${file}`, entries, signal);
    this.#done(await this.#master.command(`commit map @${version} ${file}`, { signal, worker }));
  }

  /** What a map holds, by key. */
  async entries(worker: number, file: string, signal: AbortSignal): Promise<Map<string, string>> {
    const answer = await this.#master.command(`show map ${file}`, { signal, worker });
    return new Map([...answer.matchAll(/^0x[0-9a-f]+ (\S+) (.*)$/gm)].map(([, key = "", value = ""]) => [key, value]));
  }

  /** What succeeds prints nothing. */
  #done(answer: string): void {
    const words = answer.trim();
    if (words !== "") throw new MasterError("failed", `HAProxy did not take a change of its maps: ${words.slice(0, 200)}`);
  }
}
