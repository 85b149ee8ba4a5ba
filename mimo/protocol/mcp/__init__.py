"""The Model Context Protocol, both eras, decided for each request.

- `revisions`: which revisions there are, and what tells them apart
- `operations`: a request's method and params, read and checked
- `terms`: under which revision and with which client one request is answered
- `pages`, `results`: what we say, in the newest shape
- `downlevel`: the one pass that changes it for older revisions
- `failures`: errors to codes
- `questions`, `seal`: what we ask a client meanwhile, and the state it keeps for us
- `conversation`: one peer, from messages to work and from outcomes to frames
- `about`: who we say we are; `probe`: the same, while the daemon is still starting
"""
