"""The platform's own health: what heartbeat measures and tells, who looks after heartbeat, sessions that expire."""
