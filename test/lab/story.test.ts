import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { BIN } from "./configs.ts";
import { run } from "./exec.ts";
import { removeLab } from "./folder.ts";
import { traces } from "./traces.ts";

const NAME = `t-story-${process.pid}`;
const STORY = [BIN.run, "test/lab/story.ts", "--name", NAME] as const;
const TIMEOUT_MS = 240_000;
const KEYS = [
  "strangerRefused",
  "codeMade",
  "registered",
  "admitted",
  "secondRegistered",
  "firstRevoked",
  "secondRevoked",
  "flushed",
  "laptopCertified",
  "laptopAnywhere",
  "laptopRevoked",
  "bothNeeded",
] as const;

describe("npm start", function () {
  this.timeout(TIMEOUT_MS);

  afterEach(async () => {
    await removeLab(NAME);
  });

  it("tells the story once, each step as it must be, and leaves nothing", async () => {
    const told = JSON.parse(await run([...STORY, "--once", "--json"], { timeoutMs: TIMEOUT_MS }));
    expect(told.steps.map((step: { key: string; ok: boolean }) => [step.key, step.ok])).to.deep.equal(KEYS.map((key) => [key, true]));
    expect(told.ok).to.equal(true);
    expect(Object.keys(told.times)).to.deep.equal([...KEYS]);
    for (const key of KEYS) expect(told.times[key], key).to.be.above(0);
    expect(await traces(NAME)).to.deep.equal([]);
  });

  it("is the same with nginx, stays until Ctrl-C, which npm delivers twice, and cleans up after a killed run first", async () => {
    const words = [...STORY.slice(1), "--terminator", "nginx"];
    const killed = spawn(STORY[0], words, { stdio: ["ignore", "pipe", "inherit"] });
    const killedEnd = once(killed, "close");
    for await (const text of killed.stdout) if (String(text).includes("A stranger knocks")) break;
    killed.kill("SIGKILL");
    await killedEnd;
    expect(await traces(NAME)).not.to.deep.equal([]);

    const story = spawn(STORY[0], words, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(story, "close");
    let said = "";
    story.stdout.on("data", (text) => {
      said += String(text);
      if (!String(text).includes("Ctrl-C takes everything away.")) return;
      story.kill("SIGINT");
      story.kill("SIGINT");
    });
    expect((await ended)[0]).to.equal(0);
    expect(said).to.include("What an earlier run left behind is taken away.");
    expect(said).to.include("Every step did what it must.");
    expect(said).to.match(/printf %s [0-9A-Z]{5}(-[0-9A-Z]{5}){6} \| nsenter .* enroll /);
    expect(await traces(NAME)).to.deep.equal([]);
  });
});
