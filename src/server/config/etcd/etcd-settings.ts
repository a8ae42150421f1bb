/** Every flag that etcd 3.4 to 3.7 has and that is no setting of Aether's own, by its name. */
import type { EtcdSetting } from "../setting.ts";
import { OLD_SETTINGS } from "./old-settings.ts";
import { SECURITY_SETTINGS } from "./security-settings.ts";
import { SERVING_SETTINGS } from "./serving-settings.ts";
import { TOPOLOGY_SETTINGS } from "./topology-settings.ts";
import { WATCHING_SETTINGS } from "./watching-settings.ts";

/** Twins are of their row. Defaults are etcd's. */
export const ETCD_SETTINGS: readonly EtcdSetting[] = [
  ...TOPOLOGY_SETTINGS,
  ...SERVING_SETTINGS,
  ...SECURITY_SETTINGS,
  ...WATCHING_SETTINGS,
  ...OLD_SETTINGS,
];
