// The badge's job without a ledger, for both services: who is where is kept in memory, and lost with the process.
const { createHmac, randomUUID, timingSafeEqual } = require("node:crypto");

const { signingSecret, doors, places } = JSON.parse(process.env.BENCH_CONFIG);
const inside = new Map();
const people = new Map();

function signed(body, signature) {
  const wanted = createHmac("sha256", signingSecret).update(body).digest();
  const given = Buffer.from(signature || "", "hex");
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function path(place) {
  return place ? [place, ...path(places[place].within)] : [];
}

// What Calven is told of a badge: an event for each place whose count it changes.
function count(badge) {
  const { place, direction } = doors[badge.object_id];
  const left = inside.get(badge.actor_id) || [];
  const entered = path(direction === "in" ? place : places[place].within);
  inside.set(badge.actor_id, entered);
  const changed = [
    ...left.filter((name) => !entered.includes(name)).map((name) => [name, -1]),
    ...entered.filter((name) => !left.includes(name)).map((name) => [name, 1]),
  ];
  return changed.map(([name, by]) => {
    const occupancy = Math.max((people.get(name) || 0) + by, 0);
    people.set(name, occupancy);
    const { locationId, locationType } = places[name];
    const event = { timestamp: badge.created_at, locationId, locationType, eventId: randomUUID() };
    return { ...event, occupied: occupancy > 0, occupancy };
  });
}

const headers = { authorization: `Bearer ${process.env.CALVEN_TOKEN}`, "x-calven-region": "usce1" };
const url = `${process.env.CALVEN_BASE_URL}/v1/occupancy`;

module.exports = { signed, count, headers, url };
