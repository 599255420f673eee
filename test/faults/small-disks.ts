import { paths } from "../lab/folder.ts";
import { SmallDisk } from "./disk.ts";
import { Stand } from "./stand.ts";

/** A stand with one host whose Storage and agent's state are on small disks of their own. */
export class DiskStand implements AsyncDisposable {
  readonly stand: Stand;
  readonly storage: SmallDisk;
  readonly state: SmallDisk;
  readonly #stack: AsyncDisposableStack;

  private constructor(stand: Stand, [storage, state]: readonly [SmallDisk, SmallDisk], stack: AsyncDisposableStack) {
    this.stand = stand;
    this.storage = storage;
    this.state = state;
    this.#stack = stack;
  }

  static async open(name: string): Promise<DiskStand> {
    await using stack = new AsyncDisposableStack();
    const disks: SmallDisk[] = [];
    const stand = stack.use(
      await Stand.open({
        name,
        beforeServe: async (plan) => {
          for (const program of ["registry", plan.hosts[0]?.name ?? ""])
            disks.push(stack.use(await SmallDisk.under(paths(plan).dataOf(program))));
        },
      }),
    );
    const [storage, state] = disks;
    if (storage === undefined || state === undefined) throw new Error("The stand was not served.");
    return new DiskStand(stand, [storage, state], stack.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
