"""Telling people: messages, folding, channels (mail, SMS) and the local sinks that stand in for the providers."""
