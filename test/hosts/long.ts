/** Whether scenes are wanted that CI has no time for: `npm run test:hosts` runs them too. */
export const LONG_SCENES = process.env.ENTITYOS_LONG === "1";
