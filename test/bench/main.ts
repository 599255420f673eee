import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { EXIT } from "../../lib/service.ts";
import { removeLab } from "../lab/folder.ts";
import { interruption } from "../lab/interrupt.ts";
import { PROJECT } from "../lab/plan.ts";
import { measureAdmission, measureAdmissionBesideCertificates, measureAdmissionUnderLoad } from "./admission.ts";
import { measureApply } from "./apply.ts";
import { measureCertificates } from "./certificates.ts";
import { measureCold } from "./cold.ts";
import { measureCrl } from "./crl.ts";
import { measureFanOut } from "./fan-out.ts";
import { measureRegistering } from "./registering.ts";
import { describeMachine, page, resultTable } from "./report.ts";
import { measureRevoke } from "./revoke.ts";
import type { Measured, Wish } from "./stats.ts";
import { measureTerminator } from "./terminator.ts";

const HELP = `npm run bench [-- --quick] [-- --only ROW [--size N]] [-- --name NAME]

Measures entityOS gate against the least that the same work can cost on this machine, both in the same run, prints the
ratios and writes docs/benchmarks.md. Needs root.

--quick     few samples of most rows, 1,000 elements, writes nothing: shows that the bench works
--only ROW  admission, admission-load, admission-certificates, apply, cold, registrations, fan-out, certificates, crl, terminator or
            revoke-WAY (address, certificate, request, download); with nginx terminator-nginx, revoke-certificate-nginx,
            revoke-request-nginx or revoke-download-nginx; writes nothing
--size N    of that row: elements, agents or entries
--name      name of the lab, 'bench' unless said: what a killed run of this name left behind is taken away first
`;

interface Row {
  readonly name: string;
  /** Elements, or agents. */
  readonly sizes: readonly number[];
  readonly quickSize: number;
  /** Only where it is asked for by its name, or everything is measured. */
  readonly notQuick?: boolean;
  measure(wish: Wish): Promise<Measured>;
  readonly samples: number;
}

const ELEMENTS = { sizes: [1_000, 1_000_000], quickSize: 1_000 };
const CERTIFICATES = { sizes: [100_000, 1_000_000], quickSize: 1_000 };
const ROWS: readonly Row[] = [
  // First: behind what other rows leave in this process the collector has more to do.
  { name: "certificates", measure: measureCertificates, samples: 200, sizes: [50], quickSize: 50 },
  { name: "admission", measure: measureAdmission, samples: 500, ...ELEMENTS },
  { name: "admission-load", measure: measureAdmissionUnderLoad, samples: 500, ...ELEMENTS },
  {
    name: "admission-certificates",
    measure: measureAdmissionBesideCertificates,
    samples: 300,
    sizes: [1_000],
    quickSize: 1_000,
    notQuick: true,
  },
  { name: "apply", measure: measureApply, samples: 1_000, ...ELEMENTS },
  { name: "cold", measure: measureCold, samples: 1, sizes: [1_000_000], quickSize: 1_000 },
  { name: "registrations", measure: measureRegistering, samples: 50, sizes: [256], quickSize: 16 },
  { name: "fan-out", measure: measureFanOut, samples: 30, sizes: [1_000], quickSize: 50 },
  { name: "crl", measure: measureCrl, samples: 20, sizes: [100_000], quickSize: 1_000 },
  ...(["address", "certificate", "request", "download"] as const).map((way) => ({
    ...{ name: `revoke-${way}`, measure: measureRevoke(way, "haproxy"), samples: 100, sizes: [1], quickSize: 1 },
  })),
  // An address is the firewall's to refuse, whatever stands behind it.
  ...(["certificate", "request", "download"] as const).map((way) => ({
    ...{ name: `revoke-${way}-nginx`, measure: measureRevoke(way, "nginx"), samples: 100, sizes: [1], quickSize: 1 },
    notQuick: way !== "request",
  })),
  { name: "terminator", measure: measureTerminator("haproxy"), samples: 3, ...CERTIFICATES },
  { name: "terminator-nginx", measure: measureTerminator("nginx"), samples: 3, ...CERTIFICATES, notQuick: true },
];
const QUICK_SAMPLES = 20;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      size: { type: "string" },
      name: { type: "string", default: "bench" },
      help: { type: "boolean", default: false },
    },
  });
  const rows = ROWS.filter((row) => (values.only === undefined ? !(values.quick && row.notQuick) : row.name === values.only));
  if (values.help || rows.length === 0) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    return values.help ? EXIT.ok : EXIT.usage;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("The bench makes network namespaces: run it as root.\n");
    return EXIT.permission;
  }
  const signal = interruption();
  await removeLab(values.name);
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  const results: Measured[] = [];
  for (const row of rows) {
    const sizes = values.quick ? [row.quickSize] : values.size === undefined ? row.sizes : [Number(values.size)];
    for (const elements of sizes) {
      results.push(
        await row.measure({
          lab: values.name,
          elements,
          samples: values.quick ? Math.min(QUICK_SAMPLES, row.samples) : row.samples,
          progress,
          signal,
        }),
      );
    }
  }
  const machine = await describeMachine();
  const notes = results.flatMap(({ note }) => (note === undefined ? [] : [`${note}\n`]));
  process.stdout.write(`${machine.join("\n")}\n\n${resultTable(results)}${notes.join("")}`);
  if (!values.quick && values.only === undefined) {
    writeFileSync(join(PROJECT, "docs/benchmarks.md"), page(machine, results));
    progress("docs/benchmarks.md is written");
  }
  return EXIT.ok;
}

process.exitCode = await main();
