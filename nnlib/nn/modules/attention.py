"""Multi-head attention."""

from .. import init
from ..functional._multi_head import attend
from .linear import NonDynamicallyQuantizableLinear
from .module import Module
from .utils import new_parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    r"""Attention over several projections of queries, keys and values.

    Each head computes :math:`softmax(Q W_q (K W_k)^T / \sqrt{d}) V W_v`; the heads' outputs are put together
    and projected once more.

    Args:
        embed_dim (int): size of the queries and of the output; `num_heads` divides it.
        num_heads (int): number of heads, each of size embed_dim / num_heads.
        dropout (float): of the attention weights in training. Default: 0.
        bias (bool): biases of the projections. Default: ``True``.
        add_bias_kv (bool): learn a key and a value that are added to every sequence. Default: ``False``.
        add_zero_attn (bool): add a key and a value of zeros. Default: ``False``.
        kdim, vdim (int, optional): sizes of keys and values. Default: `embed_dim`.
        batch_first (bool): the batch is the first dimension. Default: ``False``.
        device, dtype: of the parameters.

    Shape:
        query (L, N, E), key (S, N, kdim), value (S, N, vdim), or with N first if `batch_first`, or without N;
        output as the query; weights (N, L, S), or (N, num_heads, L, S) if not averaged.

    Raises:
        ValueError: sizes that are not positive. AssertionError: `num_heads` does not divide `embed_dim`.

    Source: Vaswani and others, "Attention is all you need" (2017).

    Example::

        >>> import nnlib
        >>> attention = nnlib.nn.MultiheadAttention(8, 2)
        >>> x = nnlib.zeros(5, 3, 8)
        >>> output, weights = attention(x, x, x)
        >>> output.shape, weights.shape
        (torch.Size([5, 3, 8]), torch.Size([3, 5, 5]))
    """

    __constants__ = ["batch_first"]

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        device=None,
        dtype=None,
    ):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        factory = {"device": device, "dtype": dtype}
        self._make_projections(bias, factory)
        for name in ("bias_k", "bias_v"):
            # Held as plain attributes when absent: the keys of the state dict stay those of the parameters.
            setattr(self, name, new_parameter((1, 1, embed_dim), **factory) if add_bias_kv else None)
        self._reset_parameters()

    def _make_projections(self, bias, factory):
        embed = self.embed_dim
        separate = {"q_proj_weight": embed, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        packed = self._qkv_same_embed_dim
        for name, size in separate.items():
            self.register_parameter(name, None if packed else new_parameter((embed, size), **factory))
        self.register_parameter(
            "in_proj_weight", new_parameter((3 * embed, embed), **factory) if packed else None
        )
        self.register_parameter("in_proj_bias", new_parameter((3 * embed,), **factory) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed, embed, bias=bias, **factory)

    def _reset_parameters(self):
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def __setstate__(self, state):
        state.setdefault("_qkv_same_embed_dim", True)
        super().__setstate__(state)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        """Attend.

        Args:
            query, key, value (Tensor): see the class.
            key_padding_mask (Tensor, optional): shape (N, S) or (S); True or -inf leaves a key out.
            need_weights (bool): return the attention weights too; without them it is faster. Default:
                ``True``.
            attn_mask (Tensor, optional): shape (L, S) or (N num_heads, L, S); True forbids, numbers are
                added.
            average_attn_weights (bool): the mean over the heads. Default: ``True``.
            is_causal (bool): says that `attn_mask` is the causal one. Default: ``False``.

        Returns:
            (output, weights): the weights are None unless needed.
        """
        return attend(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight),
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
        )

    def merge_masks(self, attn_mask, key_padding_mask, query):
        """One mask from both, and which kind it is: 0 attention, 1 padding, 2 both of shape (N, num_heads, L,
        S).

        Returns:
            (Tensor or None, int or None)
        """
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        if key_padding_mask is None:
            return attn_mask, 0
        batch, length = query.shape[:2]
        if attn_mask.dim() == 3:
            mask = attn_mask.view(batch, -1, length, length)
        else:
            mask = attn_mask.view(1, 1, length, length).expand(batch, self.num_heads, -1, -1)
        return mask + key_padding_mask.view(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1), 2
