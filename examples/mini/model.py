"""The network: a Qwen3 decoder of about one million parameters."""

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.tokenizer import END_OF_TEXT, MAX_POSITIONS, TURN_END, VOCAB_SIZE

HIDDEN_SIZE = 128
NUM_LAYERS = 4
MLP_SIZE = 384
NUM_HEADS = 4
NUM_KV_HEADS = 2
HEAD_SIZE = 64
"""The smallest that GPU attention kernels usually accept."""
ROPE_THETA = 10_000.0
INIT_STD = 0.05


def build_model(tokenizer: ChatTokenizer, seed: int) -> Qwen3ForCausalLM:
    """Make a model with fresh float32 weights; reseeds torch's global generator."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    end_id = tokenizer.convert_tokens_to_ids(TURN_END)
    pad_id = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    config = Qwen3Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=MLP_SIZE,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=NUM_HEADS,
        num_key_value_heads=NUM_KV_HEADS,
        head_dim=HEAD_SIZE,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        initializer_range=INIT_STD,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = [end_id, pad_id]
    model.generation_config.pad_token_id = pad_id
    return model
