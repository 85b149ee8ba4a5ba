"""What happens in the house, told to programs, to a dashboard and to a person.

- `events`: typed events with bounded fan-out, for programs
- `news`: the events of the house itself
- `metrics`: numbers for a dashboard, declared once
- `logs`, `stderr`: lines for the operator, that no reader of stderr can hold up
- `resources`: a look every 30 seconds at what the process uses
- `loop`: who held up the event loop
"""
