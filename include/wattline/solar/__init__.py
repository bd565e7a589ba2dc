"""Solar plants: readings of inverters become tick rows, generation and events."""
