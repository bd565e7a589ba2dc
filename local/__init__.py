"""The local stack: every server that Wattline talks to, below one folder, without Docker."""
