import { authoritiesIn } from "./authorities.ts";
import { Harness } from "./harness.ts";

/** Process over a folder whose inbox waits; dies by SIGKILL when it has signed so many certificates, or once the first are durable and nobody was told. */
const [folder = "", pki = "", moment = "", count = "0"] = process.argv.slice(2);
const die = (): void => void process.kill(process.pid, "SIGKILL");

const harness = await Harness.open(folder);
const authorities = authoritiesIn(pki);
let left = Number(count);
const device: typeof authorities.device = {
  ...authorities.device,
  issue: async (...asked) => {
    const issued = await authorities.device.issue(...asked);
    if (moment === "signed" && --left === 0) die();
    return issued;
  },
};
if (moment === "stored") harness.store.watch("outcome", die);
await harness.process([], { ...authorities, device });
