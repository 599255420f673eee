import { expect } from "chai";
import { cli, TestRegistry } from "./registry.ts";

/** What is typed, and with what it ends. */
const MISUSED: readonly [line: string, exit: number, says: string][] = [
  ["", 64, "entityos: registers devices"],
  ["dance", 64, "usage: There is no command 'dance'."],
  ["code", 64, "usage: 'code' goes with create, list, withdraw."],
  ["code make", 64, "usage: 'code' goes with create, list, withdraw, not with 'make'."],
  ["code create", 64, "usage: --subject is missing."],
  ["code create --subject a --profile b --uses many", 64, "usage: --uses is a whole number from 1 to 1000000: 'many' is not."],
  ["code create --subject a --profile b --uses 0", 64, "usage: --uses is a whole number from 1 to 1000000: '0' is not."],
  [
    "code create --subject a --profile b --expires soon",
    64,
    "usage: --expires is a number with a unit such as 90s, 30m, 24h or 7d: 'soon' is not.",
  ],
  ["code create --secret x", 64, "usage: Unknown option '--secret'."],
  ["code withdraw", 64, "usage: SELECTOR is missing."],
  ["code withdraw A B", 64, "usage: Unexpected argument 'B'."],
  [
    "code withdraw ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8",
    64,
    "usage: SELECTOR is the first 8 characters of a code, and no more.\nSee: entityos code withdraw --help\n",
  ],
  [
    "code list ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8",
    64,
    "usage: A security code is no argument: others can read command lines. It is asked for, or read by --code-file.\n",
  ],
  ["code list --limit 5000", 64, "usage: --limit is a whole number from 1 to 1000: '5000' is not."],
  ["status --control https://a", 64, "usage: --control needs --cert, --key and --ca."],
  ["status --cert a", 64, "usage: --cert, --key and --ca go with --control."],
  ["status --control https://a --socket b", 64, "usage: --socket and --control exclude each other."],
  [
    "status --control http://a --cert /dev/null --key /dev/null --ca /dev/null",
    64,
    "usage: --control is https://HOST or https://HOST:PORT: 'http://a' is not.",
  ],
  ["agent enroll a", 64, "usage: --out is missing."],
  ["agent enroll a --out b --service-csr c", 64, "usage: --service-csr goes with --service."],
  ["agent enroll a --out b --zone c", 64, "usage: --zone is restricted or open: 'c' is not."],
  ["profile set a --observed6 96", 64, "usage: --observed6 is 64 or 128: '96' is not."],
  ["profile set a --max-addresses 65", 64, "usage: --max-addresses is a whole number from 1 to 64: '65' is not."],
  ["profile set a --certificate-lifetime 100d", 64, "usage: --certificate-lifetime is from 1h to 90d: '100d' is not."],
  ["profile set a --address-lifetime 367d", 64, "usage: --address-lifetime is from 1s to 366d: '367d' is not."],
  [
    "profile set a --addresses 10.0.0.0/33",
    65,
    "profile_invalid: The profile cannot be set: addresses: '10.0.0.0/33': A prefix length here is a whole number from 0 to 32",
  ],
  ["profile set a --addresses some", 65, "profile_invalid: The profile cannot be set: addresses: 'some': Not an IPv4"],
  ["cert revoke 5f2b7c", 65, "request_invalid: fingerprint: 64 lower-case hex digits, as 'cert list' tells it\n"],
  ["device show a", 1, "device_unknown: There is no device a.\nSee what there is: entityos device list\n"],
  ["status --offline", 64, "usage: --offline is for a device: it goes with --state."],
  ["profile set a --pattern b", 64, "usage: --pattern is one of ip, cert, either, both: 'b' is not."],
  ["constructor", 64, "usage: There is no command 'constructor'."],
  ["enroll", 64, "usage: --url is missing."],
  ["enroll --url register.example", 64, "usage: --url is https://HOST or https://HOST:PORT: 'register.example' is not."],
  ["enroll --url http://register.example", 64, "usage: --url is https://HOST or https://HOST:PORT: 'http://register.example' is not."],
  ["enroll --url https://a/path", 64, "usage: --url is https://HOST or https://HOST:PORT: 'https://a/path' is not."],
  ["enroll --url https://user:password@a", 64, "usage: --url is https://HOST"],
  ["enroll --url https://a --ca /dev/null", 65, "file_unusable: Cannot use /dev/null as a certificate: it holds none in PEM"],
  ["enroll --url https://a --ca /nonexistent", 65, "file_unreadable: Cannot read /nonexistent: ENOENT"],
  ["status --state /nonexistent", 1, "not_enrolled: This device is not enrolled: there is no /nonexistent/device.json.\nName the folder"],
];

describe("entityos, not as it is meant", () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
  });
  after(() => registry[Symbol.asyncDispose]());

  for (const [line, exit, says] of MISUSED) {
    it(`ends '${line}' with ${exit}`, async () => {
      const needsControl = /^(profile set|cert revoke|device show|status --offline)/.test(line);
      const ran = needsControl ? await registry.operator(...line.split(" ")) : await cli(line.split(" ").filter((word) => word !== ""));
      expect(ran.exit).to.equal(exit);
      expect(ran.err.slice(0, says.length)).to.equal(says);
      expect(ran.out).to.equal("");
    });
  }
});
