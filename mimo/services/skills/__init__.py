"""Other MCP servers, as supervised children: their tools appear beside ours, their crashes stay their own.

- `configuration`, `fields`: `skills.json`, read and checked
- `doorstep`: all that a daemon without skills needs of this
- `service`: all skills; starts, stops, reloads and offers them
- `skill`: one of them, asleep or running; `kept`: what is known of it while it sleeps
- `subprocesses`, `process`, `spawner`, `launcher`, `leftovers`: a program of this machine, and its end
- `link`, `exchange`, `forwarding`: requests to it, what comes back, and its questions
- `offers`, `names`, `results`: what agents see of it
- `finding`, `meaning`: gateway_find_tools and gateway_call
- `remote`, `http`: a server that runs elsewhere
- `news`: what happens, as events
"""
