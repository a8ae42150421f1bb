/** etcd's flags for users and who may ask over HTTP; those of TLS are in ../tls-settings.ts. */
import type { EtcdSetting } from "../setting.ts";

const NO_CALLS = "the JSON gateway calls its handlers without a connection";

export const SECURITY_SETTINGS: readonly EtcdSetting[] = [
  ...(["client-cert-file", "client-key-file"] as const).map(
    (etcd): EtcdSetting => ({
      etcd,
      yaml: `client-transport-security.${etcd}`,
      kind: "string",
      initial: "",
      help: "For calls of the server to itself",
      inert: NO_CALLS,
    }),
  ),
  {
    etcd: "auth-token",
    kind: "string",
    initial: "simple",
    mayBeEmpty: true, // nobody gets a token: certificates alone tell who asks
    help: "simple, or jwt with its options: jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…",
  },
  {
    etcd: "bcrypt-cost",
    kind: "integer",
    initial: 10,
    help: "Work that a password's hash costs, from 4 to 31",
  },
  {
    etcd: "auth-token-ttl",
    kind: "integer",
    initial: 300,
    help: "Seconds after which an unused simple token is forgotten",
  },
];
