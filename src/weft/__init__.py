"""weft: LLM programs as plain async Python, on an engine that knows the program."""
