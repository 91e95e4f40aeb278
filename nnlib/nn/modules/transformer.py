"""Transformers: stacks of encoder and decoder layers, and the whole. The layers have a file of their own."""

import copy
import math

from nnlib import _C

from .. import functional as F
from .. import init
from ..functional._multi_head import additive_mask
from ._transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer, documented
from .activation import GELU, ReLU
from .container import ModuleList
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _causal_mask(size, device=None, dtype=None):
    return _C.full((size, size), -math.inf, dtype=dtype, device=device).triu(1)


def _is_causal(mask, is_causal, size):
    """Whether to treat `mask` as the causal one: as told, or by looking at it if told None."""
    if is_causal is not None or mask is None:
        return is_causal is True
    if tuple(mask.shape) != (size, size):
        return False
    expected = _causal_mask(size)
    if mask.dtype == _C.bool:
        expected = expected < 0
    return bool((mask == expected).all())


def _length(x, batch_first):
    return x.size(0) if x.dim() == 2 else x.size(1 if batch_first else 0)


def _clones(layer, n):
    return ModuleList([copy.deepcopy(layer) for _ in range(n)])


@documented
class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer (TransformerEncoderLayer): copied for each place in the stack.
        num_layers (int): how many.
        norm (Module, optional): applied to the result.
        enable_nested_tensor (bool): in inference, give zeros at the padded positions, where PyTorch's
            layers that leave those out do. Default: ``True``.
        mask_check (bool): only where the padding of each sequence is at its end. Default: ``True``.

    {source}

    Example::

        >>> import nnlib
        >>> encoder = nnlib.nn.TransformerEncoder(nnlib.nn.TransformerEncoderLayer(8, 2, 16), 2)
        >>> encoder(nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
        """Encode; masks as in `MultiheadAttention`. With `is_causal` None the mask is looked at."""
        dtype = src.dtype
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", dtype, mask, "mask")
        mask = additive_mask(mask, "mask", dtype)
        size = _length(src, self.layers[0].self_attn.batch_first)
        is_causal = _is_causal(mask, is_causal, size)
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=is_causal, src_key_padding_mask=padding)
        if mask is None and padding is not None and self._leaves_out_padding(src, padding):
            output = output.masked_fill((padding != 0).unsqueeze(-1), 0.0)
        return output if self.norm is None else self.norm(output)

    def _leaves_out_padding(self, src, padding):
        """Whether PyTorch would compute the positions without padding alone."""
        layer = self.layers[0]
        attention = layer.self_attn
        kept = padding == 0
        return (
            self.enable_nested_tensor
            and isinstance(layer, TransformerEncoderLayer)
            and not (layer.training or layer.norm_first)
            and src.dim() == 3
            and attention.batch_first
            and attention._qkv_same_embed_dim
            and attention.in_proj_bias is not None
            and attention.num_heads % 2 == 0
            and (layer.activation in (F.relu, F.gelu) or isinstance(layer.activation, (ReLU, GELU)))
            and layer.norm1.eps == layer.norm2.eps
            and not _C.is_autocast_enabled("cpu")
            and not (_C.is_grad_enabled() and any(p.requires_grad for p in (src, *layer.parameters())))
            and not (self.mask_check and bool((kept[:, 1:] & ~kept[:, :-1]).any()))
        )


@documented
class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer (TransformerDecoderLayer): copied for each place in the stack.
        num_layers (int): how many.
        norm (Module, optional): applied to the result.

    {source}

    Example::

        >>> import nnlib
        >>> decoder = nnlib.nn.TransformerDecoder(nnlib.nn.TransformerDecoderLayer(8, 2, 16), 2)
        >>> decoder(nnlib.zeros(5, 3, 8), nnlib.zeros(4, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        """Decode; masks as in `MultiheadAttention`. With `tgt_is_causal` None the mask is looked at."""
        size = _length(tgt, self.layers[0].self_attn.batch_first)
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal, size)
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


@documented
class Transformer(Module):
    """An encoder and a decoder that attends to its result.

    Args:
        d_model (int): size of every vector. Default: 512.
        nhead (int): number of attention heads. Default: 8.
        num_encoder_layers, num_decoder_layers (int): Default: 6.
        dim_feedforward (int): inner size of the feed-forward networks. Default: 2048.
        dropout (float): Default: 0.1.
        activation (str or callable): ``'relu'``, ``'gelu'``, or a function. Default: relu.
        custom_encoder, custom_decoder (Module, optional): in the place of the stacks.
        layer_norm_eps, batch_first, norm_first, bias, device, dtype: as in `TransformerEncoderLayer`.

    Shape:
        src (S, N, E) and tgt (T, N, E), or with N first if `batch_first`, or without N; output as tgt.

    Raises:
        RuntimeError: batches or sizes of src and tgt that do not fit.

    {source}

    Example::

        >>> import nnlib
        >>> model = nnlib.nn.Transformer(8, 2, 1, 1, 16)
        >>> model(nnlib.zeros(4, 3, 8), nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model=512,
        nhead=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dim_feedforward=2048,
        dropout=0.1,
        activation=F.relu,
        custom_encoder=None,
        custom_decoder=None,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        args = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        factory = {"device": device, "dtype": dtype}

        def stack(kind, layer, n):
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory)
            return kind(layer, n, norm)

        if custom_encoder is None:
            layer = TransformerEncoderLayer(*args, **factory)
            custom_encoder = stack(TransformerEncoder, layer, num_encoder_layers)
        self.encoder = custom_encoder
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*args, **factory)
            custom_decoder = stack(TransformerDecoder, layer, num_decoder_layers)
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self):
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        """Encode `src`, then decode `tgt`; masks as in the two stacks."""
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError(
                f"the batch number of src and tgt must be equal, got {src.size(batch)} and {tgt.size(batch)}"
            )
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError(
                f"the feature number of src and tgt must be equal to d_model, got {src.size(-1)} and "
                f"{tgt.size(-1)} for {self.d_model}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz, device=None, dtype=None):
        """The causal mask: -inf above the diagonal, 0 elsewhere; shape (sz, sz)."""
        return _causal_mask(sz, device, dtype)


# Pickles name the module in which PyTorch has these classes.
for _class in (TransformerDecoderLayer, TransformerEncoderLayer):
    _class.__module__ = __name__
