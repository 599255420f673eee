import { expect } from "chai";
import { fitted } from "../../lib/help.ts";

describe("help", () => {
  it("is folded at 80 columns, below its own text", () => {
    const help = `Makes a thing

Usage: thing make NAME [--one FILE] [--another FILE] [--and-one-more FILE] [--last]

What stands at the margin is one paragraph, however its lines were
broken when it was written down in the source.

Options
  --short        stays as it is
  --long FILE    is told in more words than there is room for behind it, so that it goes on below
  --a-very-long-name-of-an-option FILE  is told likewise, from a column that is further to the left

Examples
  thing make --one /a/path/that/is/very/long --another /a/path/that/is/very/long --last
`;
    expect(fitted(help)).to.equal(`Makes a thing

Usage: thing make NAME [--one FILE] [--another FILE] [--and-one-more FILE]
       [--last]

What stands at the margin is one paragraph, however its lines were broken when
it was written down in the source.

Options
  --short        stays as it is
  --long FILE    is told in more words than there is room for behind it, so that
                 it goes on below
  --a-very-long-name-of-an-option FILE  is told likewise, from a column that is
    further to the left

Examples
  thing make --one /a/path/that/is/very/long --another /a/path/that/is/very/long --last
`);
  });

  it("leaves a word whole that is longer than a line", () => {
    const word = "x".repeat(90);
    expect(fitted(`  --a  ${word} b`)).to.equal(`  --a  ${word} b`);
  });
});
