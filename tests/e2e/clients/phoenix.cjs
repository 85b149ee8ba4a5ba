// npm `phoenix` over WebSocket, with the key shown at the upgrade:
//   node phoenix.cjs FOLDER URL KEY     FOLDER holds the node_modules
// Says "ready" once all else is done; then the daemon is restarted, and it says its story when it is back.
const [folder, url, authToken] = process.argv.slice(2);
const fetch = require("node:module").createRequire(folder + "/");
const { Socket, Presence } = fetch("phoenix");
const transport = fetch("ws"); // node's own does not close when it could not connect

const socket = new Socket(url, { transport, authToken, heartbeatIntervalMs: 200 });
const pushed = (push) =>
  new Promise((resolve, reject) => {
    push.receive("ok", resolve).receive("error", (told) => reject(new Error(JSON.stringify(told))));
    push.receive("timeout", () => reject(new Error("timeout")));
  });

async function main() {
  const story = { thoughts: 0, results: {}, joins: 0 };
  socket.connect();
  const channel = socket.channel("cortex:phoenix", {});
  const presence = new Presence(channel);
  presence.onSync(() => (story.present = presence.list((id, { metas }) => [id, metas.length])));
  const done = {};
  channel.on("thought", () => (story.thoughts += 1));
  channel.on("result", (told) => {
    story.results[told.ref] = told.status;
    done[told.ref]?.(told);
  });
  const result = (ref, event, payload) =>
    new Promise((resolve, reject) => {
      done[ref] = resolve;
      pushed(channel.push(event, { ...payload, ref })).catch(reject);
    });
  let back;
  const returned = new Promise((resolve) => (back = resolve));
  channel.joinPush.receive("ok", () => (story.joins += 1) === 2 && back());
  await pushed(channel.join());
  await result("add", "tool", { name: "memory_add", arguments: { content: "The harbour master is called Ilse." } });
  story.found = JSON.stringify((await result("ask", "query", { q: "harbour master" })).data);
  story.wrong = await pushed(channel.push("query", {})).then(
    () => null,
    (error) => error.message,
  );
  const other = socket.channel("cortex:other", {});
  await pushed(other.join());
  await pushed(other.leave());
  console.log("ready");
  await returned;
  await result("again", "query", { q: "harbour master" });
  console.log(JSON.stringify(story));
  socket.disconnect(() => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
