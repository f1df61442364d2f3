// The same as a flow of Node-RED's: HTTP in, function, HTTP request, function, HTTP response.
import http from "node:http";
import RED from "node-red";
import badge from "./badge.cjs";

const node = (id, type, more, ...wires) => ({ id, type, z: "badges", x: 0, y: 0, ...more, wires });
const flows = [
  { id: "badges", type: "tab", label: "badges" },
  node(
    "in",
    "http in",
    { url: "/webhooks/access-control/kisi", method: "post", skipBodyParsing: true },
    ["count"],
  ),
  node(
    "count",
    "function",
    {
      outputs: 2,
      func: `
        const { signed, count, headers, url } = global.get("badge");
        if (!signed(msg.payload, msg.req.headers["x-signature"])) {
          return [null, { ...msg, statusCode: 401, payload: { error: "invalid signature" } }];
        }
        const occupancyEvents = count(JSON.parse(msg.payload));
        msg.events = occupancyEvents.length;
        msg.payload = { sourceId: "kisi", occupancyEvents };
        return [{ ...msg, headers, url }, null];
      `,
    },
    ["calven"],
    ["out"],
  ),
  node("calven", "http request", { method: "POST", ret: "obj", persist: true }, ["answer"]),
  node(
    "answer",
    "function",
    {
      outputs: 1,
      func: `
        const refused = msg.statusCode !== 200 || msg.payload.results.some((result) => result.resultCode !== 0);
        return { ...msg, headers: {}, statusCode: refused ? 502 : 200, payload: { events: msg.events } };
      `,
    },
    ["out"],
  ),
  node("out", "http response", {}),
];

const server = http.createServer();
RED.init(server, {
  userDir: process.env.BENCH_FOLDER,
  httpAdminRoot: false,
  httpNodeRoot: "/",
  editorTheme: { projects: { enabled: false } },
  telemetry: { enabled: false },
  functionGlobalContext: { badge },
  logging: { console: { level: "warn" } },
  storageModule: {
    init: async () => {},
    getFlows: async () => flows,
    getCredentials: async () => ({}),
    getSettings: async () => ({}),
    saveSettings: async () => {},
    getSessions: async () => ({}),
    saveSessions: async () => {},
    getLibraryEntry: async () => [],
  },
});
server.on("request", RED.httpNode);
await RED.start();
server.listen(Number(process.env.PORT), "127.0.0.1");
