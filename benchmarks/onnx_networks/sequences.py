"""Networks that read: text and sound."""

import torch
from torch import nn
from torch._higher_order_ops import scan

from benchmarks.onnx_networks.network import Network, Sizes, seeded

__all__ = ["SEQUENCES"]

_VOCABULARY = 50
_WIDTH = 32


def _tokens(sizes: Sizes) -> torch.Tensor:
    shape = (sizes["batch"], sizes["length"])
    return torch.randint(0, _VOCABULARY, shape, generator=torch.Generator().manual_seed(1))


class _Tagger(nn.Module):
    """A bidirectional LSTM over sentences of different lengths: the backward pass begins at each sentence's own end."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        self.lstm = nn.LSTM(_WIDTH, 24, bidirectional=True, batch_first=True, num_layers=2)
        self.head = nn.Linear(48, 7)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores of each tag, [batch, length, 7], for sentences sorted by length, the longest first."""
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores: torch.Tensor = self.head(states)
        return scores


def _sentences(sizes: Sizes) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([max(sizes["length"] - 2 * row, 1) for row in range(sizes["batch"])])
    return {"tokens": _tokens(sizes), "lengths": lengths}


class _BiLstm(nn.Module):
    """As `_Tagger`, for sentences of one length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        self.lstm = nn.LSTM(_WIDTH, 24, bidirectional=True, batch_first=True)
        self.head = nn.Linear(48, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores of each tag, [batch, length, 7]."""
        scores: torch.Tensor = self.head(self.lstm(self.embedding(tokens))[0])
        return scores


@torch.jit.script
def _write(
    state: torch.Tensor,
    steps: torch.Tensor,
    embedding: torch.Tensor,
    cell: list[torch.Tensor],
    head: torch.Tensor,
) -> torch.Tensor:
    """Greedy writing, compiled, so that the loop comes into the graph: scores, [steps, batch, vocabulary].

    The first scores are those of the reader: TFLite's loop takes no tensor that is empty to begin with.
    """
    scores = torch.matmul(state, head)
    written = scores.unsqueeze(0)
    token = scores.argmax(dim=1)
    for _ in range(int(steps) - 1):
        reset_x, update_x, new_x = (torch.matmul(embedding[token], cell[0].t()) + cell[2]).chunk(3, 1)
        reset_h, update_h, new_h = (torch.matmul(state, cell[1].t()) + cell[3]).chunk(3, 1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        state = new + update * (state - new)
        scores = torch.matmul(state, head)
        token = scores.argmax(dim=1)
        written = torch.cat([written, scores.unsqueeze(0)])
    return written


class _Seq2Seq(nn.Module):
    """A GRU reads, and another writes, each token from the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        self.encoder = nn.GRU(_WIDTH, _WIDTH, batch_first=True)
        self.cell = nn.GRUCell(_WIDTH, _WIDTH)
        self.head = nn.Linear(_WIDTH, _VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Scores of each written token, [steps, batch, vocabulary]."""
        state = self.encoder(self.embedding(tokens))[1][0]
        cell = [self.cell.weight_ih, self.cell.weight_hh, self.cell.bias_ih, self.cell.bias_hh]
        written: torch.Tensor = _write(state, steps, self.embedding.weight, cell, self.head.weight.T)
        return written


class _Rescorer(_Seq2Seq):
    """As `_Seq2Seq`, fed with what was to be written: a scan over a dynamic axis."""

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Scores of each next token, [steps, batch, vocabulary], for targets [steps, batch]."""

        def step(state: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            state = self.cell(self.embedding(target), state)
            return state, self.head(state)

        _, scores = scan(step, self.encoder(self.embedding(tokens))[1][0], targets)
        written: torch.Tensor = scores
        return written


def _rescoring(sizes: Sizes) -> dict[str, torch.Tensor]:
    shape = (sizes["steps"], sizes["batch"])
    targets = torch.randint(0, _VOCABULARY, shape, generator=torch.Generator().manual_seed(4))
    return {"tokens": _tokens(sizes), "targets": targets}


def _reading(sizes: Sizes) -> dict[str, torch.Tensor]:
    return {"tokens": _tokens(sizes), "steps": torch.tensor(sizes["steps"])}


class _Encoder(nn.Module):
    """A transformer's encoder with a mask of the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        layer = nn.TransformerEncoderLayer(_WIDTH, 4, 64, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """States, [batch, length, width]; token 0 is padding."""
        states: torch.Tensor = self.layers(self.embedding(tokens), src_key_padding_mask=tokens == 0)
        return states


class _Decoder(nn.Module):
    """One step of a causal decoder: new tokens, and the keys and values of those before."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, _WIDTH)
        self.project, self.out = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.feed = nn.Sequential(nn.Linear(_WIDTH, 64), nn.SiLU(), nn.Linear(64, _WIDTH))
        self.head = nn.Linear(_WIDTH, _VOCABULARY, bias=False)

    def forward(
        self, tokens: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scores [batch, length, vocabulary], and all keys and values [batch, 4, past + length, 8]."""
        states = self.embedding(tokens)
        batch, length, width = states.shape
        parts = self.project(self.norm1(states)).reshape(batch, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        all_keys, all_values = torch.cat([keys, parts[1]], dim=2), torch.cat([values, parts[2]], dim=2)
        past = keys.shape[2]
        mask = torch.arange(past + length)[None, :] <= torch.arange(length)[:, None] + past
        mixed = nn.functional.scaled_dot_product_attention(parts[0], all_keys, all_values, attn_mask=mask)
        states = states + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return self.head(states + self.feed(self.norm2(states))), all_keys, all_values


def _step(sizes: Sizes) -> dict[str, torch.Tensor]:
    past = (sizes["batch"], 4, sizes["past"], _WIDTH // 4)
    draw = torch.Generator().manual_seed(2)
    return {
        "tokens": _tokens(sizes),
        "keys": torch.randn(past, generator=draw),
        "values": torch.randn(past, generator=draw),
    }


class _Audio(nn.Module):
    """A logarithmic spectrogram by a short-time Fourier transform, and a network over it."""

    def __init__(self) -> None:
        super().__init__()
        self.window: torch.Tensor
        self.register_buffer("window", torch.hann_window(128))
        self.layers = nn.Sequential(nn.Conv1d(65, 32, 5, padding=2), nn.ReLU(), nn.Conv1d(32, 16, 5, padding=2))
        self.head = nn.Linear(16, 5)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Scores of each class, [batch, 5]."""
        # Deprecated for users; both exporters know this form, and one of them no complex numbers.
        parts = torch.stft(sound, 128, hop_length=64, window=self.window, center=False, return_complex=False)
        spectrum = torch.log1p(parts.square().sum(dim=-1))
        scores: torch.Tensor = self.head(self.layers(spectrum).mean(dim=2))
        return scores


def _sound(sizes: Sizes) -> dict[str, torch.Tensor]:
    shape = (sizes["batch"], sizes["samples"])
    return {"sound": torch.randn(shape, generator=torch.Generator().manual_seed(3))}


_TEXT = {0: "batch", 1: "length"}

SEQUENCES = (
    Network(
        "lstm_tagger_lengths",
        seeded(_Tagger),
        _sentences,
        {"tokens": _TEXT, "lengths": {0: "batch"}, "scores": _TEXT},
        ("scores",),
        ({"batch": 3, "length": 9}, {"batch": 2, "length": 13}),
        exporters=("torchscript",),
        why_not={"dynamo": "torch.export takes no packed sequences of dynamic lengths"},
    ),
    Network(
        "lstm_tagger",
        seeded(_BiLstm),
        lambda sizes: {"tokens": _tokens(sizes)},
        {"tokens": _TEXT, "scores": _TEXT},
        ("scores",),
        ({"batch": 3, "length": 9}, {"batch": 2, "length": 13}),
    ),
    Network(
        "gru_seq2seq",
        seeded(_Seq2Seq),
        _reading,
        {"tokens": _TEXT, "steps": {}, "written": {0: "steps", 1: "batch"}},
        ("written",),
        ({"batch": 3, "length": 9, "steps": 5}, {"batch": 2, "length": 13, "steps": 8}),
        exporters=("torchscript",),
        why_not={"dynamo": "torch.export takes no loop that was compiled; gru_rescorer has its scan"},
    ),
    Network(
        "gru_rescorer",
        seeded(lambda: _Rescorer().requires_grad_(False)),  # a scan of torch.export wants frozen weights
        _rescoring,
        {"tokens": _TEXT, "targets": {0: "steps", 1: "batch"}, "written": {0: "steps", 1: "batch"}},
        ("written",),
        ({"batch": 3, "length": 9, "steps": 5}, {"batch": 2, "length": 13, "steps": 8}),
        exporters=("dynamo",),
        why_not={"torchscript": "torch.jit knows no scan"},
    ),
    Network(
        "transformer_encoder",
        seeded(_Encoder),
        lambda sizes: {"tokens": _tokens(sizes)},
        {"tokens": _TEXT, "states": _TEXT},
        ("states",),
        ({"batch": 3, "length": 9}, {"batch": 2, "length": 13}),
        exporters=("dynamo",),
        why_not={"torchscript": "it fixes the length in the Reshape of the attention: ONNX Runtime refuses another"},
    ),
    Network(
        "causal_decoder",
        seeded(_Decoder),
        _step,
        {
            "tokens": _TEXT,
            **{name: {0: "batch", 2: "past"} for name in ("keys", "values")},
            "scores": _TEXT,
            **{name: {0: "batch", 2: "past+length"} for name in ("all_keys", "all_values")},
        },
        ("scores", "all_keys", "all_values"),
        ({"batch": 2, "length": 3, "past": 5}, {"batch": 3, "length": 2, "past": 8}),
    ),
    Network(
        "audio_stft",
        seeded(_Audio),
        _sound,
        {"sound": {0: "batch", 1: "samples"}, "scores": {0: "batch"}},
        ("scores",),
        ({"batch": 2, "samples": 1024}, {"batch": 3, "samples": 1536}),
    ),
)
"""Every network that reads or hears."""
