/** Whether scenes are wanted that CI has no time for: `npm run test:hosts` runs them too. */
export const LONG_SCENES = process.env.ENTITYOS_LONG === "1";

/** A test that runs where long scenes are wanted. */
export const onlyLong = (what: string, body: () => Promise<void>): void => {
  if (LONG_SCENES) it(what, body);
};
