// What the official JavaScript client hears of one stream: node stream.mjs URL FOLDER INPUT.
import { createRequire } from "node:module";

const [url, folder, input] = process.argv.slice(2);
const Replicate = createRequire(`${folder}/package.json`)("replicate");
const replicate = new Replicate({ auth: "x", baseUrl: `${url}/v1` });

let text = "";
for await (const event of replicate.stream("local/small", { input: JSON.parse(input) })) {
  if (event.event === "output") text += event.data;
}
console.log(JSON.stringify(text));
