/** What this program is called and which release it is; package.json says the same (a test holds
 * them together), but a compiled executable has no package.json to read. */
export const PROGRAM = "aether";
export const VERSION = "0.1.0";
/** The release of etcd's API that the client commands speak. */
export const API_VERSION = "3.7";
/** The release of etcd whose behaviour a server answers with: clients choose features by it. */
export const ETCD_VERSION = "3.7.1";
