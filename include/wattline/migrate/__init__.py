"""Migrations from MySQL to MongoDB: one mechanism, driven by a table of entries."""
