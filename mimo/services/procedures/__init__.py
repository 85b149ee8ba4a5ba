"""Procedures: what an agent learned to do, as a machine that does it again and finishes what it began.

doorstep.py     the tool, declared; what is behind it is made when it is first needed, by wiring.py
service.py      its operations
arguments.py    what the tool takes, as agents read it; texts.py is what they read back
definition.py   what a procedure is, as pydantic models: imported when the first one is read
reading.py      from JSON or YAML to a definition, or to every problem with its place; shapes.py is the schema check
checking.py     what a machine can be wrong in that has the right shape; bounded.py looks for endless cycles
expressions.py  the language of guards, grammar.py its texts; templates.py is how it stands in arguments, effort.py how
                much of it there may be in one turn
runs.py         the state of a run as a value; happenings.py is what may happen to it, and what is to be done
engine.py       one pure function: a run and a happening give the next run and what to do
ending.py       how a run ends, and what it takes back before
acting.py       how a state is entered and its action begins; turn.py is one turn of the engine
runner.py       the driver: saves first (saving.py), then acts; live.py is a run in memory, places.py how many
                at once, children.py the runs that runs begin, timers.py wakes what waits, clock.py never goes back, calling.py calls a tool
                and queueing.py waits for a place there; written.py is the JSON that is stored
registry.py     what is defined, by tool, REST, shell or file; and how memory_search finds it
folder.py       files in a directory, followed while they change
starting.py     new runs, and children, begun once
pictures.py     a definition as Mermaid or SVG, the current state lit
controls.py     what our own programs may ask beside the tool
news.py         what befalls runs, as events
"""
