// What the official JavaScript client does about 504, as one JSON list: node unknown.mjs URL FOLDER VERSION.
import { createRequire } from "node:module";

const [url, folder, version] = process.argv.slice(2);
const Replicate = createRequire(`${folder}/package.json`)("replicate");
const replicate = new Replicate({ auth: "x", baseUrl: `${url}/v1` });
const input = { text: "hello" };
const status = (promise) => promise.then(() => null, (error) => error.response?.status ?? String(error));

console.log(JSON.stringify([
  await status(replicate.predictions.create({ model: "local/echo", input })),
  await status(replicate.predictions.create({ version, input, wait: 5 })),
  await status(replicate.run("local/echo", { input })),
]));
