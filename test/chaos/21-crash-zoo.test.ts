/**
 * Crash exploration of everything that orchestrations can do: killed at every place, with small payloads and with such
 * that are stored by reference, and killed again in what came after.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exploreCrashes } from "@stet/testing";
import * as zoo from "./zoo.ts";

const short = "text";
const long = "a text that is stored once and referred to from then on ".repeat(20);

for (const [name, world] of Object.entries(zoo)) {
  test(`${name}: one crash anywhere changes nothing`, async () => {
    const { points, runs, unreached } = await exploreCrashes(() => world(short));

    assert.ok(points.length >= 10, points.join());
    assert.equal(runs, points.length);
    assert.deepEqual(unreached, []);
  });

  test(`${name}: one crash anywhere changes nothing when payloads are stored by reference, nor do two in a row`, async () => {
    const { points, runs, crashes, unreached } = await exploreCrashes(() => world(long), { pairs: 20 });

    assert.equal(runs, points.length + 20);
    assert.equal(crashes, points.length + 40);
    assert.deepEqual(unreached, []);
  });
}
