/**
 * More logins than anybody could check: so many under way at once, each a name and a wrong
 * password, replaced as soon as it is answered. Arguments: one name or many, logins at once.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { Auth, AuthenticateRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { type Attack, runAttack } from "./script.ts";

const CONNECTIONS = 10;
/** Who is refused at once would otherwise ask again at once: that is the overload attack's. */
const PAUSE_MS = 20;

await runAttack(async (attack) => {
  const [names = "one", count = "1000"] = attack.args;
  const endpoint = `127.0.0.1:${attack.port}`;
  const clients = Array.from(
    { length: CONNECTIONS },
    () => new EtcdClient({ endpoints: [endpoint], timeoutMs: 60_000 }),
  );
  attack.begin();
  const loops = Array.from({ length: Number(count) }, (_each, at) => {
    const client = clients[at % CONNECTIONS] as EtcdClient;
    return knock(attack, client, names === "one" ? "victim" : `name ${at}`);
  });
  await Promise.race([Promise.all(loops), Bun.sleep(attack.leftMs)]);
  for (const client of clients) client.close();
});

async function knock(attack: Attack, client: EtcdClient, name: string): Promise<void> {
  while (!attack.over) {
    attack.count("logins");
    try {
      const request = AuthenticateRequest.create({ name, password: "guessed" });
      await client.channel.call(Auth.Authenticate, request, {});
      attack.end("let in");
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      attack.end(error.message);
    }
    await Bun.sleep(PAUSE_MS);
  }
}
