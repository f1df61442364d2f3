// A badge's webhook as a small Express service answers it.
import express from "express";
import { count, headers, signed, url } from "./badge.cjs";

const app = express();

app.post("/webhooks/access-control/:source", express.raw({ type: "*/*" }), async (request, response) => {
  if (!signed(request.body, request.get("x-signature"))) {
    response.status(401).json({ error: "invalid signature" });
    return;
  }
  const occupancyEvents = count(JSON.parse(request.body));
  const answer = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ sourceId: request.params.source, occupancyEvents }),
  });
  const { results } = await answer.json();
  const refused = !answer.ok || results.some((result) => result.resultCode !== 0);
  response.status(refused ? 502 : 200).json({ events: occupancyEvents.length });
});

app.listen(Number(process.env.PORT), "127.0.0.1");
