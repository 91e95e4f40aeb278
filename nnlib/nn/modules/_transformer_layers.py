"""The layers of transformers."""

from .. import functional as F
from ..functional._multi_head import additive_mask
from .attention import MultiheadAttention
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

_SOURCE = 'Source: Vaswani and others, "Attention is all you need" (2017).'
_LAYER_ARGS = """d_model (int): size of every vector.
        nhead (int): number of attention heads; it divides `d_model`.
        dim_feedforward (int): inner size of the feed-forward network. Default: 2048.
        dropout (float): Default: 0.1.
        activation (str or callable): ``'relu'``, ``'gelu'``, or a function. Default: relu.
        layer_norm_eps (float): eps of the layer norms. Default: 1e-5.
        batch_first (bool): the batch is the first dimension, not the second. Default: ``False``.
        norm_first (bool): normalise before each part, not after. Default: ``False``.
        bias (bool): biases in the linear layers and layer norms. Default: ``True``.
        device, dtype: of the parameters."""


def documented(cls):
    cls.__doc__ = cls.__doc__.replace("{layer_args}", _LAYER_ARGS).replace("{source}", _SOURCE)
    return cls


def _activation_function(activation):
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu


class _Layer(Module):
    """What encoder and decoder layers share: the feed-forward network and the attention blocks."""

    __constants__ = ["norm_first"]
    _attentions = ()

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation=F.relu,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        for name in self._attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **factory
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **factory)
        self.norm_first = norm_first
        parts = range(1, len(self._attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation_function(activation)

    def __setstate__(self, state):
        super().__setstate__({"activation": F.relu, **state})

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return self.dropout1(self._attend(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal))

    @staticmethod
    def _attend(attention, query, memory, attn_mask, key_padding_mask, is_causal):
        return attention(
            query,
            memory,
            memory,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )[0]

    def _ff_block(self, x):
        last = self.dropout3 if len(self._attentions) == 2 else self.dropout2
        return last(self.linear2(self.dropout(self.activation(self.linear1(x)))))


@documented
class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward network, each with a residual connection and a layer norm.

    Args:
        {layer_args}

    Shape:
        src (S, N, E), or (N, S, E) if `batch_first`, or (S, E); the output is the same.

    {source}

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.TransformerEncoderLayer(8, 2, 16)
        >>> layer(nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    _attentions = ("self_attn",)

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        """Encode; `src_mask` (S, S) and `src_key_padding_mask` (N, S) as in `MultiheadAttention`."""
        dtype = src.dtype
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", dtype, src_mask, "src_mask")
        mask = additive_mask(src_mask, "src_mask", dtype)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, mask, padding, is_causal))
        return self.norm2(x + self._ff_block(x))


@documented
class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, and a feed-forward network, each with a residual connection and
    a layer norm.

    Args:
        {layer_args}

    Shape:
        tgt (T, N, E) and memory (S, N, E), or with N first if `batch_first`, or without N; output as tgt.

    {source}

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.TransformerDecoderLayer(8, 2, 16)
        >>> layer(nnlib.zeros(5, 3, 8), nnlib.zeros(4, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    _attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        """Decode; the masks are those of the two attentions, as in `MultiheadAttention`."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other))
        return self.norm3(x + self._ff_block(x))

    def _mha_block(self, x, memory, attn_mask, key_padding_mask, is_causal=False):
        attended = self._attend(self.multihead_attn, x, memory, attn_mask, key_padding_mask, is_causal)
        return self.dropout2(attended)
