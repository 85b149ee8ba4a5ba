"""Doors: sockets and pipes. Each is an object with a `run()`; what is said through it is `protocol`'s."""
