import { expect } from "chai";
import { generateCode, parseCode, publicKeyFromRaw, rawPublicKey } from "../../../lib/registration/code.ts";
import { problemCode } from "../problem-code.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Computed once by other programs: the check character by hand, the key by Python's HKDF and Ed25519. */
const VECTOR = { text: "ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8", publicKey: "21M05QeN5lwCq5fnWikyYZ-7Cc-1-wekrYPbqA-8Cms" };
const plain = VECTOR.text.replaceAll("-", "");

describe("a security code", () => {
  it("has this selector and this key, for good", () => {
    const code = parseCode(VECTOR.text);
    expect({ selector: code.selector, publicKey: code.publicKey }).to.deep.equal({ selector: "ABCDEFGH", publicKey: VECTOR.publicKey });
    expect(rawPublicKey(code.privateKey)).to.equal(VECTOR.publicKey);
  });

  for (const [how, typed] of [
    ["in lower case", VECTOR.text.toLowerCase()],
    ["without hyphens", plain],
    ["with spaces", VECTOR.text.replaceAll("-", " ")],
    ["with line breaks around it", `\n${VECTOR.text}\r\n`],
    ["with O for 0 and I or L for 1", plain.replace("0", "o").replace("1", "l")],
    ["with I for 1", plain.replace("1", "I")],
  ] as const) {
    it(`is read ${how}`, () => {
      expect(parseCode(typed).publicKey).to.equal(VECTOR.publicKey);
    });
  }

  for (const [what, typed, code] of [
    ["nothing", "", "code_format"],
    ["a character too few", plain.slice(1), "code_format"],
    ["a character too many", `${plain}0`, "code_format"],
    ["the letter U", plain.replace("A", "U"), "code_format"],
    ["an underscore", plain.replace("A", "_"), "code_format"],
    ["a digit that is not ASCII", plain.replace("0", "０"), "code_format"],
    ["a code followed by separators and more", `${plain}${"-".repeat(165)}A`, "code_format"],
    ["a megabyte", "0".repeat(1 << 20), "code_format"],
    ["a wrong check character", `${plain.slice(0, -1)}9`, "code_check"],
  ] as const) {
    it(`refuses ${what} with ${code}`, () => {
      expect(problemCode(() => parseCode(typed))).to.equal(code);
    });
  }

  it("finds every single wrong character", () => {
    let tried = 0;
    for (let at = 0; at < plain.length; at++) {
      for (const wrong of ALPHABET) {
        if (wrong === plain[at]) continue;
        expect(problemCode(() => parseCode(`${plain.slice(0, at)}${wrong}${plain.slice(at + 1)}`))).to.equal("code_check");
        tried++;
      }
    }
    expect(tried).to.equal(35 * 31);
  });

  it("is shown as seven groups of five and read back as itself", () => {
    for (let made = 0; made < 50; made++) {
      const { text, selector, publicKey } = generateCode();
      expect(text).to.match(/^([0-9A-HJKMNP-TV-Z]{5}-){6}[0-9A-HJKMNP-TV-Z]{5}$/);
      const read = parseCode(text);
      expect({ selector: read.selector, publicKey: read.publicKey }).to.deep.equal({ selector, publicKey });
    }
  });

  it("is never made twice", () => {
    const made = Array.from({ length: 200 }, () => generateCode());
    expect(new Set(made.map((code) => code.selector)).size).to.equal(200);
    expect(new Set(made.map((code) => code.publicKey)).size).to.equal(200);
  });

  it("has another key under another selector", () => {
    const same = `00000000${plain.slice(8, -1)}`;
    const keys = [...ALPHABET].flatMap((check) => {
      try {
        return [parseCode(same + check).publicKey];
      } catch {
        return [];
      }
    });
    expect(keys).to.have.length(1);
    expect(keys[0]).not.to.equal(VECTOR.publicKey);
  });
});

describe("a device key as text", () => {
  it("is read and written alike", () => {
    expect(rawPublicKey(publicKeyFromRaw(VECTOR.publicKey))).to.equal(VECTOR.publicKey);
  });

  for (const [what, raw] of [
    ["nothing", ""],
    ["padding", `${VECTOR.publicKey}=`],
    ["a byte too many", `${VECTOR.publicKey}AA`],
    ["a byte too few", VECTOR.publicKey.slice(0, -2)],
    ["base64's own characters", VECTOR.publicKey.replace("-", "+")],
    ["spare bits that are set: a second text for one key", `${VECTOR.publicKey.slice(0, -1)}t`],
  ] as const) {
    it(`refuses ${what} with device_key`, () => {
      expect(problemCode(() => publicKeyFromRaw(raw))).to.equal("device_key");
    });
  }
});
