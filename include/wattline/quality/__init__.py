"""Quality gates: expectation suites, their verdict on one batch, and the quarantine of what they reject."""
