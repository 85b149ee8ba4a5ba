// npm `@modelcontextprotocol/sdk` 1.x (MODE "sdk") and `client` 2.x (MODE "legacy", "auto"):
//   node typescript.cjs FOLDER MODE COMMAND ARGS...     FOLDER holds the node_modules
const [folder, mode, command, ...args] = process.argv.slice(2);
const fetch = require("node:module").createRequire(folder + "/");

async function main() {
  const old = mode === "sdk";
  const { Client } = fetch(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
  const { StdioClientTransport } = fetch(
    old ? "@modelcontextprotocol/sdk/client/stdio.js" : "@modelcontextprotocol/client/stdio",
  );
  const client = new Client({ name: "smoke", version: "1" }, old ? {} : { versionNegotiation: { mode } });
  const transport = new StdioClientTransport({ command, args });
  let revision;
  transport.setProtocolVersion = (agreed) => (revision = agreed);
  await client.connect(transport);
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const call = (name, given) => client.callTool({ name, arguments: given });
  const added = await call("memory_add", { content: "The harbour master is called Ilse." });
  const found = await call("memory_search", { query: "harbour master" });
  const wrong = await call("memory_search", { question: "harbour master" });
  const identity = added.content[0].text.match(/\bm\d\w*/)[0];
  const read = await client.readResource({ uri: `mimo://memory/${identity}` });
  console.log(
    JSON.stringify({
      revision: revision ?? client.getNegotiatedProtocolVersion(),
      tools,
      found: found.content[0].text,
      wrong: wrong.isError,
      read: read.contents[0].text,
    }),
  );
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
