"""How mini, the bundled model, is made: generated problems, tokenizer, trainer, export."""
