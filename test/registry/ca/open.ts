import { openAuthorities } from "../../../registry/ca/authorities.ts";
import type { InfrastructureCa } from "../../../registry/ca/infrastructure.ts";

/** The infrastructure CA of a folder that `init` made. @throws PkiError | KeyError */
export const openPki = (folder: string): InfrastructureCa => openAuthorities(folder, "https://register.example").infrastructure;
