// What the official JavaScript client sees, as one JSON object: node calls.mjs URL FOLDER VERSION.
import { createRequire } from "node:module";

const [url, folder, version] = process.argv.slice(2);
const Replicate = createRequire(`${folder}/package.json`)("replicate");
const replicate = new Replicate({ auth: "x", baseUrl: `${url}/v1` });
const input = { text: "hello" };
const seen = {};

const raised = (promise) => promise.then(() => null, (error) => error.message);
const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push([event.event, event.data]);
  return events;
};

seen.run = await replicate.run("local/echo", { input });
seen.runVersion = await replicate.run(`local/echo:${version}`, { input });
seen.runItems = await replicate.run("local/items", { input: {} });
const quick = { mode: "poll", interval: 20 };
seen.runPolling = await replicate.run("local/slow", { input: { seconds: 0.3 }, wait: quick });
const short = { mode: "block", timeout: 1 };
seen.runPastTheWait = await replicate.run("local/slow", { input: { seconds: 0.8 }, wait: short });
seen.runFailing = await raised(replicate.run("local/fail", { input: {} }));
seen.runUnknown = await raised(replicate.run("local/nobody", { input: {} }));

let prediction = await replicate.predictions.create({ model: "local/echo", input });
seen.created = prediction.status;
prediction = await replicate.wait(prediction, { interval: 20 });
seen.waited = [prediction.status, prediction.output];
seen.got = (await replicate.predictions.get(prediction.id)).output;
prediction = await replicate.predictions.create({ version, input, wait: 5 });
seen.createdAndWaited = [prediction.status, prediction.output];
prediction = await replicate.deployments.predictions.create("local", "echo", { input });
seen.deployment = prediction.model;

prediction = await replicate.predictions.create({ model: "local/slow", input: { seconds: 20 } });
seen.canceled = (await replicate.predictions.cancel(prediction.id)).status;
const controller = new AbortController();
const running = replicate.run(
  "local/slow",
  { input: { seconds: 20 }, wait: quick, signal: controller.signal },
  (update) => { if (update.status === "processing") controller.abort(); },
);
seen.aborted = await raised(running.then((output) => { if (output !== null) throw Error(output); }));

seen.stream = await collect(replicate.stream("local/pieces", { input: { text: "one two" } }));
seen.streamWhole = await collect(replicate.stream("local/items", { input: {} }));
seen.streamChanging = await raised(collect(replicate.stream("local/changing", { input: {} })));
seen.streamFailing = await raised(collect(replicate.stream("local/fail", { input: {} })));

seen.listed = 0;
for await (const page of replicate.paginate(replicate.predictions.list)) seen.listed += page.length;
seen.models = (await replicate.models.list()).results.map((model) => model.name);
seen.model = (await replicate.models.get("local", "echo")).latest_version.id;
seen.versions = (await replicate.models.versions.list("local", "echo")).results.length;
seen.version = (await replicate.models.versions.get("local", "echo", version)).id;
seen.account = (await replicate.accounts.current()).username;

console.log(JSON.stringify(seen));
