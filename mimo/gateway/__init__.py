"""From a call to an answer, the same for every door.

- `toolbox`: the tools, resources and prompts of all services
- `schema`: the schema of a tool's arguments, as agents want it
- `arguments`: arguments that fit the tool, or an error that says how to make them fit
- `nearest`: the name that was meant
- `capacity`: how much runs at once, and how much may wait
- `dispatch`: find, check, wait for a place, run, translate, measure, tell
- `sessions`: who is connected, what is in flight, and how it is called off
"""
