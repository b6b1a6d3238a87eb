"""An engine: what turns Requests into tokens."""
