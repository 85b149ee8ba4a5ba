"""What happens in the house, told to programs, to a dashboard and to a person.

- `events`: typed events with bounded fan-out, for programs
- `news`: the events of the house itself
- `metrics`: numbers for a dashboard, declared once
"""
