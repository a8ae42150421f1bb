/** Auth stores with users, for what asks them alone. */
import { AuthStore } from "../../src/state/auth/auth-store.ts";
import type { StateRecord } from "../../src/state/ports.ts";

/** A store that knows these users; each made the auth revision one higher, from 1 on. */
export function storeOf(...users: readonly string[]): AuthStore {
  const store = new AuthStore();
  for (const name of users) addUser(store, name);
  return store;
}

export function addUser(store: AuthStore, name: string): void {
  const nothing: StateRecord[] = [];
  store.addUser({ name, password: "", options: undefined, hashedPassword: "" }, nothing);
}
