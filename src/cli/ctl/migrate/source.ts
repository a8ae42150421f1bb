/** The etcd that is left behind: how it is reached, and what it says of itself. */
import type { ArgsDef } from "citty";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import { KV, Maintenance } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { clientTls, userOf } from "../globals.ts";
import type { Invocation } from "../invocation.ts";

export const SOURCE_ARGS: ArgsDef = {
  from: { type: "string", valueHint: "URL", description: "A member of the etcd to leave" },
  "from-user": { type: "string", valueHint: "name[:password]", description: "Who asks it: root" },
  "from-password": { type: "string", valueHint: "text", description: "Password of --from-user" },
  "from-cacert": {
    type: "string",
    valueHint: "file",
    description: "Verify it with this CA bundle",
  },
  "from-cert": { type: "string", valueHint: "file", description: "Our certificate for it" },
  "from-key": { type: "string", valueHint: "file", description: "Private key of --from-cert" },
  "from-insecure-transport": {
    type: "boolean",
    default: true,
    description: "No TLS to a --from without a scheme, unless a TLS file is given",
  },
};

/** Every key there is. */
export const ALL_KEYS = { key: "\0", rangeEnd: "\0" } as const;

export interface Source {
  readonly client: EtcdClient;
  readonly endpoint: string;
  /** "3.4.23", say. */
  readonly version: string;
}

/** Connects to the member. Rejects with ExitError that says what to do. */
export async function openSource(call: Invocation): Promise<Source> {
  const { args } = call;
  const endpoint = args.text("from");
  if (endpoint === "" || endpoint.includes(",")) {
    const what = "--from names one member of the etcd to leave";
    throw new ExitError(EXIT.BAD_ARGUMENTS, `${what}: http://10.0.0.1:2379`);
  }
  const user = userOf(args.text("from-user"), args.text("from-password"));
  if (user !== undefined && user.password === undefined) {
    const how = "--from-user name:password, or --from-password";
    throw new ExitError(EXIT.BAD_ARGUMENTS, `a password is needed: ${how}`);
  }
  const password = user?.password ?? "";
  const credentials = user === undefined ? undefined : { name: user.name, password };
  const tls = clientTls(args, "from-");
  return await fromSource(endpoint, async () => {
    const client = await call.connect({ endpoints: [endpoint], tls, credentials });
    const { version } = await call.call(Maintenance.Status, {}, client);
    return { client, endpoint, version };
  });
}

/** Runs `work`; its failure as one of the etcd to leave, with what may help. */
export async function fromSource<T>(endpoint: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const failure = cause instanceof ExitError ? cause.cause : cause; // a download says more
    if (!(failure instanceof GrpcError)) throw cause;
    const text = `${endpoint}: ${failure.message}${advice(failure)}`;
    throw new ExitError(EXIT.FAILED, text, { cause: failure });
  }
}

function advice({ message }: GrpcError): string {
  if (/user name is empty|invalid auth token/.test(message)) {
    return "; auth is enabled there: give --from-user root:password";
  }
  if (/permission denied/.test(message)) return "; only root may: give --from-user root:password";
  if (/deadline|unavailable|refused/i.test(message)) {
    return "; is it up, and reached with the right scheme and --from-cacert?";
  }
  return "";
}

/** How many keys there are at a revision, 0 for now. */
export async function countKeys(
  call: Invocation,
  client: EtcdClient,
  revision: number,
): Promise<{ readonly keys: number; readonly revision: number }> {
  const request = { ...ALL_KEYS, countOnly: true, revision };
  const { count, header } = await call.call(KV.Range, request, client);
  return { keys: count, revision: header?.revision ?? 0 };
}
