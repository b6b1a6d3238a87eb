"""Programs to read and run from a checkout."""
