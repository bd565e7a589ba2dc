"""Meters of a MyEMS installation: readings of counters to energy of hours, and why each hour has its value."""
