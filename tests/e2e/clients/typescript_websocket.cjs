// npm `@modelcontextprotocol/sdk` over WebSocket:
//   node typescript_websocket.cjs FOLDER URL KEY     FOLDER holds the node_modules
// Its transport passes no headers on, so the socket that it makes is given the key.
const [folder, url, key] = process.argv.slice(2);
const fetch = require("node:module").createRequire(folder + "/");
const Plain = globalThis.WebSocket;
globalThis.WebSocket = class extends Plain {
  constructor(address, protocols) {
    super(address, { protocols, headers: { authorization: `Bearer ${key}` } });
  }
};

async function main() {
  const { Client } = fetch("@modelcontextprotocol/sdk/client/index.js");
  const { WebSocketClientTransport } = fetch("@modelcontextprotocol/sdk/client/websocket.js");
  const client = new Client({ name: "smoke", version: "1" });
  await client.connect(new WebSocketClientTransport(new URL(url)));
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const call = (name, given) => client.callTool({ name, arguments: given });
  const added = await call("memory_add", { content: "The harbour master is called Ilse." });
  const found = await call("memory_search", { query: "harbour master" });
  const wrong = await call("memory_search", { question: "harbour master" });
  const identity = added.content[0].text.match(/\bm\d\w*/)[0];
  const read = await client.readResource({ uri: `mimo://memory/${identity}` });
  const story = { tools, found: found.content[0].text, wrong: wrong.isError, read: read.contents[0].text };
  console.log(JSON.stringify(story));
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
