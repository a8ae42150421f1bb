import { expect, test } from "bun:test";
import { Turn } from "../../src/base/turn.ts";
import { Pace } from "../../src/net/pace.ts";

/** A pace on turns that are ended by hand, and what was done in them. */
function paced(countMax: number) {
  let end: (() => void) | undefined;
  const turn = new Turn((run) => {
    end = run;
  });
  const pace = new Pace(turn, countMax);
  const done: string[] = [];
  return {
    done,
    arrive: (name: string): void => {
      if (pace.admit()) done.push(name);
      else pace.later(() => done.push(name));
    },
    /** Ends the turn; what was done since the last one. */
    next: (): string => {
      const run = end;
      end = undefined;
      run?.();
      return done.splice(0).join("");
    },
    get idle(): boolean {
      return end === undefined;
    },
  };
}

test("some begin at once, the others in later turns and in order", () => {
  const crowd = paced(2);
  for (const name of "abcdefg") crowd.arrive(name);
  expect(crowd.done.splice(0).join("")).toBe("ab");
  expect(crowd.next()).toBe("cd");
  crowd.arrive("h"); // there is no room, and others came before
  expect(crowd.next()).toBe("ef");
  expect(crowd.next()).toBe("gh");
  crowd.arrive("i");
  expect([crowd.done.length, crowd.next(), crowd.next(), crowd.next()]).toEqual([0, "i", "", ""]);
  expect(crowd.idle).toBe(true);
});

test("one after the other waits for nobody, and leaves nothing to do", () => {
  const crowd = paced(2);
  for (const name of "abc") {
    crowd.arrive(name);
    expect(crowd.next()).toBe(name);
    expect(crowd.next()).toBe("");
    expect(crowd.idle).toBe(true);
  }
});
