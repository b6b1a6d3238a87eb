"""The kernels' arguments, field for field as ``decoder.cpp`` and its headers declare them."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from enum import IntEnum

__all__ = ["Batch", "Decoder", "Heads", "Kind", "Layer", "Paging", "Weight"]


class Kind(IntEnum):
    """What a weight's panels are made of, as in ``product.h``."""

    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2
    INT13 = 3


class Weight(Structure):
    """A packed weight. Whoever fills it keeps what it points to."""

    _fields_ = (
        ("panels", c_void_p),
        ("bias", c_void_p),
        ("outputs", c_int64),
        ("inputs", c_int64),
        ("kind", c_int32),
        ("padding", c_int32),
    )


class Layer(Structure):
    """The weights of one layer."""

    _fields_ = (
        ("attention_norm", c_void_p),
        ("head_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("qkv", Weight),
        ("out", Weight),
        ("gate_up", Weight),
        ("down", Weight),
        ("window", c_int64),
    )


class Decoder(Structure):
    """A whole model."""

    _fields_ = (
        ("num_layers", c_int64),
        ("width", c_int64),
        ("num_heads", c_int64),
        ("num_kv_heads", c_int64),
        ("head_dim", c_int64),
        ("mlp_width", c_int64),
        ("norm_eps", c_float),
        ("scale", c_float),
        ("layers", POINTER(Layer)),
        ("embeddings", c_void_p),
        ("embeds_bfloat16", c_int64),
        ("norm", c_void_p),
        ("head", Weight),
    )


class Paging(Structure):
    """What the queries of one call may read."""

    _fields_ = (
        ("num_views", c_int64),
        ("num_queries", c_int64),
        ("queries", c_void_p),
        ("tables", c_void_p),
        ("positions", c_void_p),
        ("num_keys", c_void_p),
        ("first_keys", c_void_p),
        ("block_tables", c_void_p),
        ("table_row", c_int64),
        ("block_size", c_int64),
        ("tree_bases", c_void_p),
        ("tree_masks", c_void_p),
        ("shares", c_int64),
    )


class Heads(Structure):
    """The shape of one attention; a window of 0 sees everything."""

    _fields_ = (
        ("num_heads", c_int64),
        ("num_kv_heads", c_int64),
        ("head_dim", c_int64),
        ("scale", c_float),
        ("window", c_int64),
    )


class Batch(Structure):
    """The tokens of one call."""

    _fields_ = (
        ("paging", Paging),
        ("num_tokens", c_int64),
        ("token_ids", c_void_p),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("positions", c_void_p),
        ("turns", c_void_p),
        ("slots", c_void_p),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("key_scales", c_void_p),
        ("value_scales", c_void_p),
        ("num_rows", c_int64),
        ("rows", c_void_p),
        ("logits", c_void_p),
        ("scratch", c_void_p),
    )
