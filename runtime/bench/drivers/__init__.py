"""Scripts that drive one contender each, run by path in that contender's own environment."""
