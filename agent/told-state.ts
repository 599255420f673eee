import { type Alarms, toldDisk } from "./alarms.ts";
import type { StateFile } from "./state.ts";

/** The state file, with the alarm `not_saved` on from a save that fails until one that succeeds. */
export function toldState(alarms: Alarms, state: StateFile): Pick<StateFile, "save" | "begin"> {
  const failing = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      alarms.set("not_saved", { err: error });
      throw error;
    }
  };
  return {
    save: (position, pending) => toldDisk(alarms, () => state.save(position, pending)),
    begin(position, desired) {
      const whole = failing(() => state.begin(position, desired));
      return {
        step: () => failing(() => whole.step()),
        commit: () => toldDisk(alarms, () => whole.commit()),
        [Symbol.dispose]: () => whole[Symbol.dispose](),
      };
    },
  };
}
