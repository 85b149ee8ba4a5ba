"""One lasting memory, and one door to their tools, for all the agents of a person.

The rooms, from the street inward; `docs/ARCHITECTURE.md` has the map and the rules:

- `cli`, `bridge`, `daemon`, `app`: how it is started, wired, and stopped
- `transports`: doors; sockets and pipes
- `protocol`: bytes to meaning and back, without I/O
- `gateway`: from a call to a result, the same for every door
- `services`: what mimo is for
- `storage`, `vector`, `embedding`: what the services stand on
- `supervision`, `resilience`, `observability`, `tool`, `errors`, `settings`: leaves, known to all

Importing this package imports nothing else.
"""

__version__ = "0.1.0"
