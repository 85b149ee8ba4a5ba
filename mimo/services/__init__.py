"""What mimo is for. A service declares its tools at the foot of its `service.py`."""
