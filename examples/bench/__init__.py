"""What the benches need besides weft."""
