/** The first 34 characters of a code with the check character that fits them. */
export function withCheck(body: string): string {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const plain = body.slice(0, 34);
  let sum = 0;
  for (let i = plain.length - 1, factor = 2; i >= 0; i--, factor = 3 - factor) {
    const product = alphabet.indexOf(plain.charAt(i)) * factor;
    sum += Math.floor(product / 32) + (product % 32);
  }
  return plain + alphabet.charAt((32 - (sum % 32)) % 32);
}
