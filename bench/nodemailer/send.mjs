// nodemailer's pooled transport, as its own benchmark would use it: warm connections, no limit of
// messages to a connection, as many messages waiting as there are connections twice over.
//
//     node send.mjs {"port": 1, "ca": "ca.pem", "connections": 2, "letters": 1000,
//                    "message": "letter.eml", "composed": true, "key": "dkim.pem",
//                    "from": "…", "to": "…"}
//
// Composed: it makes each message of a text and a page, as a mailer does, and with a key it signs
// each by DKIM. Otherwise it sends the prebuilt file. Prints the seconds from the first to the last
// message, connections up before that.
import { readFileSync } from "node:fs";
import { createTransport } from "nodemailer";

const asked = JSON.parse(process.argv[2]);
const transport = createTransport({
  host: "localhost", port: asked.port, secure: true, pool: true,
  maxConnections: asked.connections, maxMessages: Infinity,
  tls: { ca: readFileSync(asked.ca) },
  dkim: asked.key && {
    domainName: asked.from.split("@")[1], keySelector: "bench", privateKey: readFileSync(asked.key),
  },
});
const prebuilt = readFileSync(asked.message);
const half = Math.floor(prebuilt.length / 3);
const text = prebuilt.subarray(0, half).toString("latin1");
const page = `<p>${prebuilt.subarray(0, 2 * half).toString("latin1")}</p>`;
const envelope = { from: asked.from, to: asked.to };

function one() {
  return transport.sendMail(
    asked.composed
      ? { ...envelope, subject: "Your appointment", text, html: page }
      : { envelope, raw: prebuilt },
  );
}

await Promise.all(Array.from({ length: asked.connections }, one));
const begun = process.hrtime.bigint();
let left = asked.letters;
async function lane() {
  while (left > 0) {
    left -= 1;
    await one();
  }
}
await Promise.all(Array.from({ length: 2 * asked.connections }, lane));
console.log(Number(process.hrtime.bigint() - begun) / 1e9);
transport.close();
